/**
 * Stops and goes on reading for a channel. TLS and WebSocket still hand out what they had read from the
 * network when their socket was stopped; until the owner goes on, that (at most one network read) waits here.
 */
export class ReadGate {
  readonly #deliver: (chunk: Buffer) => boolean
  readonly #held: Buffer[] = []
  #stopped = false

  /** @param deliver takes a chunk; false stops reading */
  constructor(deliver: (chunk: Buffer) => boolean) {
    this.#deliver = deliver
  }

  /** Nothing waits to be delivered. */
  get isEmpty(): boolean {
    return this.#held.length === 0
  }

  /** Delivers a chunk, or keeps a copy of it. False when the socket is to stop reading. */
  take(chunk: Buffer): boolean {
    if (this.#stopped) this.#held.push(Buffer.from(chunk))
    else this.#stopped = !this.#deliver(chunk)
    return !this.#stopped
  }

  /** Delivers what waited. True when the socket may read on. */
  resume(): boolean {
    this.#stopped = false
    while (!this.#stopped) {
      const chunk = this.#held.shift()
      if (chunk === undefined) return true
      this.#stopped = !this.#deliver(chunk)
    }
    return false
  }

  /** Forgets what waited. */
  clear(): void {
    this.#held.length = 0
  }
}
