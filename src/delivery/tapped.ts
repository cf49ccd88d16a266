import { DROP_REASONS, type RouteBooks } from '../core/books.ts'
import type { Decision, DecisionListener } from '../core/decision.ts'
import type { MessageView } from '../core/message-view.ts'
import type { Plan } from './plans.ts'

/** Lets a message be received, and tells what became of it. A flow without one receives without asking. */
export type Tapped = (view: MessageView, plan: Plan<unknown>, receive: () => void) => void

/** Makes the hook of both flows. What happened is read off the books, so that the flows need not say it. */
export function tapped(listener: DecisionListener): Tapped {
  return (view, plan, receive) => {
    const { books } = plan
    const before = { filtered: books.filtered, forwarded: books.forwardedTotal }
    const dropped = [...books.dropped]
    receive()
    const decision: Decision = {
      direction: books.direction,
      route: books.route,
      name: view.name,
      address: plan.address,
      qos: view.qos,
      retain: view.retain,
      bytes: view.payloadLength,
      outcome: outcomeOf(books, before, dropped),
    }
    listener(decision, view)
  }
}

function outcomeOf(
  books: RouteBooks,
  before: { readonly filtered: number; readonly forwarded: number },
  dropped: readonly number[],
): Decision['outcome'] {
  if (books.filtered > before.filtered) return 'filtered'
  const reason = DROP_REASONS.find((_, at) => books.dropped[at] !== dropped[at])
  if (reason !== undefined) return reason
  return books.forwardedTotal > before.forwarded ? 'forwarded' : 'inFlight'
}
