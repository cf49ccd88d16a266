/** What a splitter asks of the protocol: how long a frame is, and what to do with it. */
export interface FrameReader {
  /**
   * Length in bytes of the frame that begins at `at`; 0 when the bytes up to `end` do not tell yet.
   * Throws a `BridgeError` PROTOCOL_ERROR when they cannot begin a frame.
   */
  frameLength(buffer: Buffer, at: number, end: number): number
  /** How many bytes from `at` on to look at next, while the length is not known. */
  headStep(chunk: Buffer, at: number): number
  /** False to stop before this frame, until {@link FrameSplitter.resume}. */
  takes(buffer: Buffer, at: number): boolean
  /** One whole frame. Returns false to stop after it until {@link FrameSplitter.resume}. */
  onFrame(buffer: Buffer, at: number, end: number): boolean
  /** The first {@link FrameReader.headBytes} of a frame above {@link FrameReader.maxFrame}; the rest is skipped. */
  onOversize(buffer: Buffer, at: number, end: number, length: number): boolean
  readonly maxFrame: number
  readonly headBytes: number
}

const REST_BYTES = 4096
const REST_KEPT = 1024 * 1024

/**
 * Cuts a byte stream into frames, whatever the borders of the chunks. A frame that lies within a chunk is
 * read where it is; only the one that crosses a border is copied together. Memory is bounded by the
 * largest frame, plus one chunk while stopped.
 */
export class FrameSplitter {
  readonly #reader: FrameReader
  /** The frame that crosses a border, as far as it is known. */
  #rest: Buffer = Buffer.alloc(0)
  #have = 0
  /** Length of the frame measured last. */
  #length = 0
  #stopped = false
  /** Bytes of an oversize frame still to be passed over. */
  #skip = 0
  /** What came, and was not read, when the reader said stop. */
  #backlog: Buffer | undefined
  /** The backlog being read: nobody reuses it, so what is left of it needs no copy. */
  #own: Buffer | undefined

  constructor(reader: FrameReader) {
    this.#reader = reader
  }

  /** Reads one chunk, which may be reused by the caller afterwards. Returns false when the reader stopped. */
  feed(chunk: Buffer): boolean {
    if (this.#backlog !== undefined) {
      this.#backlog = Buffer.concat([this.#backlog, chunk])
      return false
    }
    return this.#read(chunk)
  }

  /** Goes on after a stop with what was left. Returns false when the reader stopped again. */
  resume(): boolean {
    const backlog = this.#backlog
    if (backlog === undefined) return true
    this.#backlog = undefined
    this.#own = backlog
    const goOn = this.#read(backlog)
    this.#own = undefined
    return goOn
  }

  #read(chunk: Buffer): boolean {
    let at = this.#passOver(chunk, 0)
    if (this.#have > 0) {
      at = this.#finishRest(chunk, at)
      if (this.#stopped) return this.#stop(chunk, at)
    }
    const end = chunk.length
    while (at < end) {
      const want = this.#want(chunk, at, end)
      if (want === 0 || end - at < want) {
        this.#keep(chunk, at, end)
        return true
      }
      if (!this.#reader.takes(chunk, at)) return this.#stop(chunk, at)
      const goOn = this.#dispatch(chunk, at, at + want)
      at = this.#passOver(chunk, at + want)
      if (!goOn) return this.#stop(chunk, at)
    }
    return true
  }

  /** Completes the frame begun in earlier chunks, as far as this one goes; returns where the chunk goes on. */
  #finishRest(chunk: Buffer, start: number): number {
    let at = start
    for (;;) {
      const want = this.#want(this.#rest, 0, this.#have)
      if (want > 0 && this.#have >= want) break
      if (at >= chunk.length) return at
      const missing = want === 0 ? this.#reader.headStep(chunk, at) : want - this.#have
      const next = Math.min(at + missing, chunk.length)
      this.#keep(chunk, at, next)
      at = next
    }
    this.#stopped = !this.#reader.takes(this.#rest, 0)
    if (this.#stopped) return at
    const length = this.#have
    this.#have = 0
    this.#stopped = !this.#dispatch(this.#rest, 0, length)
    return this.#passOver(chunk, at)
  }

  /** Bytes that must be in hand before the frame at `at` can be handed over; 0 = not known yet. */
  #want(buffer: Buffer, at: number, end: number): number {
    const length = this.#reader.frameLength(buffer, at, end)
    this.#length = length
    return length > this.#reader.maxFrame ? this.#reader.headBytes : length
  }

  #dispatch(buffer: Buffer, at: number, end: number): boolean {
    const length = this.#length
    if (length <= this.#reader.maxFrame) return this.#reader.onFrame(buffer, at, end)
    this.#skip = length - (end - at)
    return this.#reader.onOversize(buffer, at, end, length)
  }

  #passOver(chunk: Buffer, at: number): number {
    const take = Math.min(this.#skip, chunk.length - at)
    this.#skip -= take
    return at + take
  }

  /** Adds bytes to the frame that crosses borders. */
  #keep(chunk: Buffer, from: number, to: number): void {
    const need = this.#have + (to - from)
    if (need > this.#rest.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(need, REST_BYTES, this.#have * 2))
      this.#rest.copy(grown, 0, 0, this.#have)
      this.#rest = grown
    } else if (this.#have === 0 && this.#rest.length > REST_KEPT && need < REST_KEPT) {
      // one huge frame must not hold its memory for ever
      this.#rest = Buffer.allocUnsafeSlow(Math.max(need, REST_BYTES))
    }
    chunk.copy(this.#rest, this.#have, from, to)
    this.#have = need
  }

  #stop(chunk: Buffer, at: number): boolean {
    this.#stopped = false
    const left = chunk.subarray(at)
    this.#backlog = chunk === this.#own ? left : Buffer.from(left)
    return false
  }
}
