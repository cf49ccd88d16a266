import type { BridgeError } from '../core/errors.ts'
import type { Clock, Logger } from '../core/ports.ts'

/** The same failure is logged once in this many milliseconds. */
const REPEAT_AFTER = 60_000
/** Different failures remembered; more than a link has ways to fail. */
const REMEMBERED = 50

interface Seen {
  readonly loggedAt: number
  readonly since: number
}

/** Logs failures that come back with every attempt: the first at once, the same one again once a minute. */
export class FailureLog {
  readonly #logger: Logger
  readonly #clock: Clock
  readonly #seen = new Map<string, Seen>()

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger
    this.#clock = clock
  }

  failed(error: BridgeError, message: string): void {
    const key = `${error.code} ${error.message}`
    const now = this.#clock.monotonic()
    const seen = this.#seen.get(key)
    if (seen !== undefined && now - seen.loggedAt < REPEAT_AFTER) {
      this.#seen.set(key, { loggedAt: seen.loggedAt, since: seen.since + 1 })
      return
    }
    this.#remember(key, now)
    if (seen === undefined || seen.since === 0) {
      this.#logger.failure(error, message)
      return
    }
    const { code, hint } = error
    const fields = { code, error: error.message, hint, repeated: seen.since + 1 }
    this.#logger.warn(fields, `${message} again`)
  }

  /** What was said counts as settled: the next failure is logged at once. */
  clear(): void {
    this.#seen.clear()
  }

  #remember(key: string, now: number): void {
    this.#seen.delete(key)
    const oldest = this.#seen.keys().next()
    if (this.#seen.size >= REMEMBERED && !oldest.done) this.#seen.delete(oldest.value)
    this.#seen.set(key, { loggedAt: now, since: 0 })
  }
}
