import type { Clock } from './ports.ts'

/** How many different keys are told apart at a time; what comes on top shares one. */
const MAX_KEYS = 1000
const OVERFLOW = '(other)'

/** What happened under one key since it was last said. */
interface Held {
  count: number
  say: (count: number) => void
}

/**
 * Lets something that may happen per message be said once per key and interval, with how often it happened.
 * The first time is said at once; what repeats is summed and said when the interval ends, so that no
 * occurrence goes unreported. Keys that fall silent are forgotten.
 */
export class RateLimited {
  readonly #clock: Clock
  readonly #waiting = new Map<string, Held>()
  readonly #timers = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * @param key what counts as the same thing, such as a drop reason
   * @param everyMs interval in milliseconds
   * @param say called with the number of occurrences since it was last called, at least 1
   */
  once(key: string, everyMs: number, say: (count: number) => void): void {
    const held = this.#waiting.get(key)
    if (held !== undefined) {
      held.count++
      held.say = say
      return
    }
    if (this.#waiting.size >= MAX_KEYS && key !== OVERFLOW) {
      this.once(OVERFLOW, everyMs, say)
      return
    }
    const fresh: Held = { count: 0, say }
    this.#waiting.set(key, fresh)
    this.#arm(key, fresh, everyMs)
    say(1)
  }

  /** Says what is still held and calls off all timers; for the end of the process. */
  flush(): void {
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
    const held = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { count, say } of held) if (count > 0) say(count)
  }

  #arm(key: string, held: Held, everyMs: number): void {
    const cancel = this.#clock.after(everyMs, () => {
      this.#timers.delete(cancel)
      const { count, say } = held
      if (count === 0) {
        this.#waiting.delete(key)
        return
      }
      held.count = 0
      this.#arm(key, held, everyMs)
      say(count)
    })
    this.#timers.add(cancel)
  }
}
