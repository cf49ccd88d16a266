import { microseconds } from '../wire/clock.mjs'

/** Milliseconds between two reports of a sink. */
const REPORT_EVERY = 5

/** Tells the parent how many messages have arrived and when the last of them did. */
export class Tally {
  #count = 0
  #reported = 0
  #at = 0

  constructor() {
    setInterval(() => this.#report(), REPORT_EVERY)
  }

  /** @param {number} count all that have arrived so far */
  set(count) {
    if (count === this.#count) return
    this.#count = count
    this.#at = microseconds()
  }

  #report() {
    if (this.#count === this.#reported) return
    this.#reported = this.#count
    process.send?.({ count: this.#count, at: this.#at })
  }
}
