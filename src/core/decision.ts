import type { DropReason } from './books.ts'
import type { Direction } from './config.ts'
import type { MessageView } from './message-view.ts'

/** What was decided about one message when it came in; made only while somebody watches. */
export interface Decision {
  readonly direction: Direction
  /** Name of the route; `(none)` when no route takes it. */
  readonly route: string
  /** Topic or subject it came under. */
  readonly name: string
  /** Subject or topic it goes on under; empty when it goes nowhere. */
  readonly address: string
  /** QoS it came with; -1 for a NATS message that names none. */
  readonly qos: number
  readonly retain: boolean
  /** Length of the payload. */
  readonly bytes: number
  /**
   * `forwarded` when it was written and nobody answers for it, `inFlight` when it waits for the far side to
   * answer, `filtered` when it is not meant for the far side, else why it was dropped.
   */
  readonly outcome: 'forwarded' | 'inFlight' | 'filtered' | DropReason
}

/** Told of every decision while it is set. The view is valid until it returns; it must not throw. */
export type DecisionListener = (decision: Decision, view: MessageView) => void
