import type { MessageView } from '../core/message-view.ts'
import { malformed } from './frames.ts'

/**
 * The topics a broker replaced by numbers on this connection [MQTT-3.3.2.3.4]. As many as we announced in
 * Topic Alias Maximum, so the table is bounded.
 */
export class TopicAliases {
  readonly #maximum: number
  readonly #topics = new Map<number, Buffer>()

  constructor(maximum: number) {
    this.#maximum = maximum
  }

  /**
   * Puts the topic a packet stands for into the view, and learns it when the packet carries both.
   * @throws BridgeError PROTOCOL_ERROR for an alias that was never set or is out of range [MQTT-3.3.2-8..10],
   *   and for an empty topic without one
   */
  resolve(view: MessageView, alias: number): void {
    if (alias === 0) throw malformed('a PUBLISH with an empty topic')
    if (alias > this.#maximum) throw malformed(`topic alias ${alias}, above the maximum`)
    if (view.nameEnd > view.nameStart) {
      this.#topics.set(alias, Buffer.from(view.buffer.subarray(view.nameStart, view.nameEnd)))
      return
    }
    const topic = this.#topics.get(alias)
    if (topic === undefined) throw malformed(`topic alias ${alias}, which was never set`)
    this.#substitute(view, topic)
  }

  /** The view spans one buffer: topic and payload are joined in a new one. Rare, so the copy does not matter. */
  #substitute(view: MessageView, topic: Buffer): void {
    const { buffer, headStart, headEnd, payloadStart, payloadEnd } = view
    view.buffer = Buffer.concat([
      topic,
      buffer.subarray(headStart, headEnd),
      buffer.subarray(payloadStart, payloadEnd),
    ])
    view.nameStart = 0
    view.nameEnd = topic.length
    view.headStart = topic.length
    view.headEnd = topic.length + (headEnd - headStart)
    view.payloadStart = view.headEnd
    view.payloadEnd = view.buffer.length
  }
}
