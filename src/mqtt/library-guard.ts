import type { Duplex, Writable } from 'node:stream'

/** A session packet (CONNACK, SUBACK, DISCONNECT, …) has no reason to be longer. */
const MAX_SESSION_PACKET = 1024 * 1024

/**
 * Stands between the stream and the parser of the client library, which collects whatever length a packet
 * announces. Too many bytes without a packet, or anything thrown while bytes are read, becomes a call to
 * `broken`: the connection ends, the process does not.
 */
export class LibraryGuard {
  readonly #broken: (error: Error) => void
  #unparsed = 0

  constructor(broken: (error: Error) => void) {
    this.#broken = broken
  }

  /** Puts the guard on a stream that the library will pipe into its parser. */
  watch(stream: Duplex): void {
    const pipe = stream.pipe.bind(stream)
    stream.pipe = <T extends NodeJS.WritableStream>(into: T, options?: { end?: boolean }): T => {
      this.#protect(into as unknown as Writable)
      return pipe(into, options)
    }
  }

  /** The library read a whole packet. */
  parsed(): void {
    this.#unparsed = 0
  }

  // The library sets `_write` before it pipes; everything it does with received bytes starts there.
  #protect(parser: Writable): void {
    const write = parser._write.bind(parser)
    parser._write = (chunk: Buffer, encoding, done) => {
      this.#unparsed += chunk.length
      if (this.#unparsed > MAX_SESSION_PACKET) {
        this.#broken(new Error(`a packet of more than ${MAX_SESSION_PACKET} bytes`))
        return
      }
      try {
        write(chunk, encoding, done)
      } catch (thrown) {
        this.#broken(thrown instanceof Error ? thrown : new Error(String(thrown)))
      }
    }
  }
}
