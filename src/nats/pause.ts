import type { Clock } from '../core/ports.ts'

/** A wait that can be cut short. One wait at a time. */
export class Pause {
  readonly #clock: Clock
  #end: ((woken: boolean) => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Waits that many milliseconds; resolves to true when `wake()` ended it. */
  wait(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, () => this.#end?.(false))
      this.#end = (woken) => {
        this.#end = undefined
        cancel()
        resolve(woken)
      }
    })
  }

  /** Ends the wait that is running, if any. */
  wake(): void {
    this.#end?.(true)
  }
}
