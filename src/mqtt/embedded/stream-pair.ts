import { Duplex } from 'node:stream'

/**
 * Two byte streams, each reading what the other writes, with back-pressure: a write is done when the other
 * side asks for more. Destroying one destroys the other, ending one ends the other's reading.
 */
export function streamPair(): readonly [Duplex, Duplex] {
  const a = new PairEnd()
  const b = new PairEnd()
  a.join(b)
  b.join(a)
  return [a, b]
}

const HIGH_WATER_MARK = 64 * 1024

class PairEnd extends Duplex {
  #other: PairEnd | undefined
  #written: (() => void) | undefined

  constructor() {
    super({ highWaterMark: HIGH_WATER_MARK, allowHalfOpen: false })
  }

  join(other: PairEnd): void {
    this.#other = other
  }

  override _read(): void {
    const written = this.#written
    this.#written = undefined
    if (written !== undefined) process.nextTick(written)
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const other = this.#other
    // copied, since a writer may use its buffer again once the write is done
    const isWaiting = other?.destroyed === false && !other.push(Buffer.from(chunk))
    if (isWaiting) other.#written = done
    else done()
  }

  override _final(done: () => void): void {
    if (this.#other?.destroyed === false) this.#other.push(null)
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const other = this.#other
    const written = this.#written
    this.#written = undefined
    // the other side's write is over, whoever waits for it
    written?.()
    if (other !== undefined) process.nextTick(() => other.destroy())
    done(error)
  }
}
