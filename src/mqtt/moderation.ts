import type { Clock } from '../core/ports.ts'

/** How long the gathering of small reads takes, milliseconds. */
const GATHER_MS = 2
/** Above this rate a broker's small reads are gathered, messages per second. */
const BUSY_RATE = 15_000
/** Reads from here on are large enough to be worth their cost, bytes. */
const LARGE_READ = 16 * 1024
/** How often the rate is looked at, milliseconds. */
const SAMPLE_MS = 20

/**
 * Decides whether to wait a moment before the next read. Brokers write packet by packet, so a fast reader
 * gets many small reads, each with its cost; under load they are gathered. Decided by the rate of messages
 * and not of reads, because gathering itself lowers the rate of reads; at low load nothing waits.
 */
export class Moderation {
  readonly #clock: Clock
  #messages = 0
  #counted = 0
  #sampledAt = 0
  #busy = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** One more message was read. */
  count(): void {
    this.#messages++
  }

  /** Milliseconds to wait before the next read, after one of `bytes`; 0 = read on. */
  pause(bytes: number): number {
    if (bytes >= LARGE_READ) return 0
    const now = this.#clock.monotonic()
    const passed = now - this.#sampledAt
    if (passed > SAMPLE_MS) {
      this.#busy = ((this.#messages - this.#counted) * 1000) / passed > BUSY_RATE
      this.#counted = this.#messages
      this.#sampledAt = now
    }
    return this.#busy ? GATHER_MS : 0
  }
}
