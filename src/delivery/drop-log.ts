import type { DropReason, RouteBooks } from '../core/books.ts'
import type { Clock, Logger } from '../core/ports.ts'

const EVERY_MS = 60_000

/** Says why messages are let go or refused: once per route, direction and reason in a minute, with the count in between. */
export class DropLog {
  readonly #logger: Logger
  readonly #clock: Clock
  readonly #last = new Map<string, { at: number; held: number }>()

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger
    this.#clock = clock
  }

  /** @param text of this one message; those in between are only counted */
  note(books: RouteBooks, reason: DropReason | 'retry', text: string): void {
    const key = `${books.direction} ${books.route} ${reason}`
    const now = this.#clock.monotonic()
    const last = this.#last.get(key)
    if (last !== undefined && now - last.at < EVERY_MS) {
      last.held++
      return
    }
    this.#last.set(key, { at: now, held: 0 })
    const fields = {
      code: reason === 'retry' ? 'NATS_STREAM_REJECTED' : 'MESSAGE_DROPPED',
      reason,
      route: books.route,
      direction: books.direction,
      detail: text.slice(0, 300),
      since: last === undefined ? 0 : last.held,
    }
    this.#logger.warn(
      fields,
      reason === 'retry' ? 'message refused, trying again' : 'message dropped',
    )
  }
}
