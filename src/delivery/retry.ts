import type { Clock } from '../core/ports.ts'

const FIRST_MS = 100
const LONGEST_MS = 5_000

/** The pause before everything unsettled is sent again; while it runs, nothing new overtakes what was refused. */
export class Retry {
  readonly #clock: Clock
  readonly #action: () => void
  #cancel: (() => void) | undefined

  constructor(clock: Clock, action: () => void) {
    this.#clock = clock
    this.#action = action
  }

  get pending(): boolean {
    return this.#cancel !== undefined
  }

  /** @param attempt how often it has been refused; the pause doubles with it */
  schedule(attempt: number): void {
    if (this.#cancel !== undefined) return
    const pause = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10))
    this.#cancel = this.#clock.after(pause, () => {
      this.#cancel = undefined
      this.#action()
    })
  }

  cancel(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }
}
