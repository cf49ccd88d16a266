import type { Clock } from '../../src/core/ports.ts'

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  time = 1_000_000
  readonly #timers: { readonly at: number; readonly callback: () => void }[] = []

  now(): number {
    return 1_700_000_000_000 + this.time
  }

  monotonic(): number {
    return this.time
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.time + ms, callback }
    this.#timers.push(timer)
    return () => {
      const at = this.#timers.indexOf(timer)
      if (at >= 0) this.#timers.splice(at, 1)
    }
  }

  random(): number {
    return 0.5
  }

  /** Timers that wait. */
  get waiting(): number {
    return this.#timers.length
  }

  /** Lets `ms` milliseconds pass; what falls due is called in order. */
  pass(ms: number): void {
    const until = this.time + ms
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers.splice(this.#timers.indexOf(due), 1)
      this.time = Math.max(this.time, due.at)
      due.callback()
    }
    this.time = until
  }
}
