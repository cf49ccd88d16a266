import type { DropReason, RouteBooks } from '../core/books.ts'
import type { RouteConfig } from '../core/config.ts'

/** What is done with every message of one name, decided when the name is first seen. */
export interface Plan<Target> {
  readonly books: RouteBooks
  /** Index of the route in the configuration; -1 when none takes it. */
  readonly route: number
  /** Absent when `refusal` says why nothing is sent. */
  readonly target: Target | undefined
  /** Name on the far side, for the log and for `tap`. */
  readonly address: string
  readonly refusal: DropReason | undefined
  readonly text: string
  readonly mode: Mode
  /** Ceiling of the QoS on the far side. */
  readonly qos: number
  readonly retain: RouteConfig['retain']
  /** Subscription whose copy counts when several match; 0 = any. */
  readonly owner: number
}

/** How a message of QoS ≥ 1 is settled. */
export const Mode = { live: 0, confirmed: 1, durable: 2 } as const
export type Mode = (typeof Mode)[keyof typeof Mode]

const MAX_ENTRIES = 50_000
const MAX_KEY_BYTES = 8 * 1024 * 1024

/**
 * Plans by the latin1 key of a name, bounded. When the young half is full it becomes the old one and the
 * old one goes: names in use move up at their next message, the rest is forgotten, and a hit costs one
 * look-up.
 */
export class PlanCache<P> {
  #young = new Map<string, P>()
  #old = new Map<string, P>()
  #bytes = 0

  get(key: string): P | undefined {
    const found = this.#young.get(key)
    if (found !== undefined) return found
    const aged = this.#old.get(key)
    if (aged !== undefined) this.set(key, aged)
    return aged
  }

  set(key: string, plan: P): void {
    if (this.#young.size >= MAX_ENTRIES || this.#bytes + key.length > MAX_KEY_BYTES) {
      this.#old = this.#young
      this.#young = new Map()
      this.#bytes = 0
    }
    this.#young.set(key, plan)
    this.#bytes += key.length
  }

  clear(): void {
    this.#young.clear()
    this.#old.clear()
    this.#bytes = 0
  }

  *values(): IterableIterator<P> {
    yield* this.#young.values()
    yield* this.#old.values()
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }
}
