/** How long a source has been held back, by cause. */
export class HoldTimes {
  readonly #total: Record<string, number> = {}
  #cause = ''
  #since = 0

  /** The source stopped. A stop that goes on keeps its first cause. */
  begin(cause: string, now: number): void {
    if (this.#cause !== '') return
    this.#cause = cause
    this.#since = now
  }

  end(now: number): void {
    if (this.#cause === '') return
    this.#total[this.#cause] = (this.#total[this.#cause] ?? 0) + (now - this.#since) / 1000
    this.#cause = ''
  }

  /** Seconds by cause, the stop at hand included. */
  seconds(now: number): Record<string, number> {
    const seconds = { ...this.#total }
    if (this.#cause !== '') {
      seconds[this.#cause] = (seconds[this.#cause] ?? 0) + (now - this.#since) / 1000
    }
    return seconds
  }
}
