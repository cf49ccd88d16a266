import type { Clock, Logger } from '../../core/ports.ts'

const INTERVAL_MS = 60_000

/** Logs a warning at most once a minute per message, so that what devices do cannot flood the log. */
export class RareLog {
  readonly #logger: Logger
  readonly #clock: Clock
  readonly #last = new Map<string, number>()

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger
    this.#clock = clock
  }

  /** @param message constant text, one of few */
  warn(fields: object, message: string): void {
    const now = this.#clock.monotonic()
    if (now - (this.#last.get(message) ?? Number.NEGATIVE_INFINITY) < INTERVAL_MS) return
    this.#last.set(message, now)
    this.#logger.warn(fields, message)
  }
}
