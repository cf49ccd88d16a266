import type { IClientOptions } from 'mqtt'

type IdProvider = NonNullable<IClientOptions['messageIdProvider']>

/**
 * The packet ids the client library may use: a small range of its own, since the tap writes packets with ids
 * on the same connection. An id is handed out again only when it has come back.
 */
export class PacketIds implements IdProvider {
  readonly #first: number
  readonly #last: number
  readonly #used = new Set<number>()
  #latest: number

  constructor(first: number, last: number) {
    this.#first = first
    this.#last = last
    this.#latest = last
  }

  /** The next free id; null when all are in use. */
  allocate(): number | null {
    const size = this.#last - this.#first + 1
    if (this.#used.size >= size) return null
    do {
      this.#latest = this.#latest >= this.#last ? this.#first : this.#latest + 1
    } while (this.#used.has(this.#latest))
    this.#used.add(this.#latest)
    return this.#latest
  }

  getLastAllocated(): number | null {
    return this.#used.has(this.#latest) ? this.#latest : null
  }

  /** Takes this very id; false when it is in use or not ours. */
  register(id: number): boolean {
    if (id < this.#first || id > this.#last || this.#used.has(id)) return false
    this.#used.add(id)
    this.#latest = id
    return true
  }

  deallocate(id: number): void {
    this.#used.delete(id)
  }

  clear(): void {
    this.#used.clear()
  }
}
