import type { Refusal, StreamPosition } from '../core/lanes.ts'
import type { MessageView } from '../core/message-view.ts'

/** What the reading end of the NATS connection hands over to. */
export interface NatsHandler {
  onAnswer(position: number, refusal: Refusal | undefined): void
  /** @param subscription index + 1 */
  onLive(view: MessageView, subscription: number): void
  onStream(view: MessageView, position: StreamPosition, route: number): void
  onPong(position: number): void
  onBatchEnd(): void
  onDrain(): void
  /** How many messages may be fetched, what has been asked for included. */
  room(): number
  /** The user may not publish to this subject. */
  onDenied(subject: string): void
}
