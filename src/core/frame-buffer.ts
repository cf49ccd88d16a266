/** Bytes of one slab; a frame that is larger gets a slab of its own. */
export const SLAB_BYTES = 128 * 1024

/**
 * Where a sink writes outgoing frames, one after the other, before they go out in one write. Frames lie in
 * slabs that are never written twice, so a slice handed to a socket, or kept until the far side has
 * acknowledged it, stays what it was. A slab lives as long as somebody holds a slice of it.
 *
 *     slab  |---- flushed ----|---- pending ----|---- free ----|
 *                             from              at             length
 */
export class FrameBuffer {
  /** The slab at hand: the writer fills it from `at` on, after {@link reserve}. */
  buffer: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES)
  /** Where the next byte goes; the writer moves it. */
  at = 0
  /** Grows with the memory taken, in units of {@link SLAB_BYTES}: the same number means the same slab. */
  slab = 0
  #from = 0
  /** Pending pieces that end before `from`. */
  readonly #full: Buffer[] = []

  /** Makes room for `bytes` in one piece; frames never cross slabs. */
  reserve(bytes: number): void {
    if (this.buffer.length - this.at >= bytes) return
    if (this.at > this.#from) this.#full.push(this.buffer.subarray(this.#from, this.at))
    const size = Math.max(SLAB_BYTES, bytes)
    this.buffer = Buffer.allocUnsafeSlow(size)
    this.slab += Math.ceil(size / SLAB_BYTES)
    this.at = 0
    this.#from = 0
  }

  get pending(): boolean {
    return this.at > this.#from || this.#full.length > 0
  }

  /** Hands every pending byte to `write`, in order, in as few pieces as they lie in. */
  flush(write: (bytes: Buffer) => void): void {
    for (const piece of this.#full) write(piece)
    this.#full.length = 0
    if (this.at > this.#from) write(this.buffer.subarray(this.#from, this.at))
    this.#from = this.at
  }

  /** Takes the frame that begins at `start` and ends at `at` out of what is pending: its owner sends it later. */
  setAside(start: number): void {
    if (start > this.#from) this.#full.push(this.buffer.subarray(this.#from, start))
    this.#from = this.at
  }
}
