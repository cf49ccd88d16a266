import type { DropReason, RouteBooks } from '../core/books.ts'
import type { Clock, Logger } from '../core/ports.ts'

const EVERY_MS = 60_000

/** What to do about each; `retry` is a stream that refuses for now. */
const HINTS: Readonly<Record<DropReason | 'retry', string>> = {
  noRoute: 'add a route that takes the name, or ignore it',
  unmappable: 'rename it at its source, or exclude it from the route; see docs/mapping.md',
  reserved: 'use another first level: NATS or the bridge owns this one',
  tooLarge: 'raise the size limit the text names, or exclude the topic',
  denied: 'extend the permissions on the far side, or exclude the topic',
  disconnected: 'use QoS 1 and a stream for what has to wait while a side is away',
  queueFull: 'put a stream under the subject, or raise max_inflight_messages of the broker',
  noStream: 'make a stream that covers the subject, or use delivery: auto',
  rejected: 'see the reason the far side gave',
  expired: 'raise ttl, or ignore it',
  superseded: 'nothing to do: a newer value of the topic took its place',
  duplicate: 'nothing to do: it was delivered before',
  shutdown: 'nothing to do: the sender delivers it again',
  retry: 'see the text of the server; a full stream needs room or discard: old',
}

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
      hint: HINTS[reason],
      since: last === undefined ? 0 : last.held,
    }
    this.#logger.warn(
      fields,
      reason === 'retry' ? 'message refused, trying again' : 'message dropped',
    )
  }
}
