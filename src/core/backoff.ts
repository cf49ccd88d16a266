/** Bounds of the wait between attempts, milliseconds. */
export interface BackoffBounds {
  readonly base: number
  readonly cap: number
  /** A connection that lived this long ends the streak: the next wait starts at `base` again. */
  readonly stableAfter: number
}

export const DEFAULT_BACKOFF: BackoffBounds = { base: 250, cap: 30_000, stableAfter: 60_000 }

/**
 * Decorrelated jitter: each wait is random between `base` and three times the last one, capped, so that
 * many bridges losing one server do not come back in step. Reset only by a connection that stayed up, so
 * that a server which accepts and drops at once is not hammered.
 */
export class Backoff {
  readonly #bounds: BackoffBounds
  readonly #random: () => number
  #last: number

  /** @param random uniform in [0, 1) */
  constructor(random: () => number, bounds: BackoffBounds = DEFAULT_BACKOFF) {
    this.#bounds = bounds
    this.#random = random
    this.#last = bounds.base
  }

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const { base, cap } = this.#bounds
    this.#last = Math.min(cap, base + this.#random() * (this.#last * 3 - base))
    return Math.round(this.#last)
  }

  /** Tells how long the connection that just ended had been up, milliseconds. */
  ended(upFor: number): void {
    if (upFor >= this.#bounds.stableAfter) this.#last = this.#bounds.base
  }
}
