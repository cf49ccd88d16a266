import { MessageView } from '../../src/core/message-view.ts'

/** What a test says about a message; the rest is empty. */
export interface ViewOf {
  readonly name: string
  readonly payload?: string | Buffer
  readonly head?: string
  readonly reply?: string
  readonly qos?: number
  readonly retain?: boolean
  readonly dup?: boolean
  readonly own?: boolean
  readonly packetId?: number
  readonly subscription?: number
}

/** A view as a source would show it: all ranges in one buffer, with foreign bytes round them. */
export function viewOf(message: ViewOf): MessageView {
  const view = new MessageView()
  const name = Buffer.from(message.name)
  const reply = Buffer.from(message.reply ?? '')
  const head = Buffer.from(message.head ?? '')
  const payload = Buffer.from(message.payload ?? '')
  view.buffer = Buffer.concat([Buffer.from('<'), name, reply, head, payload, Buffer.from('>')])
  view.nameStart = 1
  view.nameEnd = view.replyStart = 1 + name.length
  view.replyEnd = view.headStart = view.replyStart + reply.length
  view.headEnd = view.payloadStart = view.headStart + head.length
  view.payloadEnd = view.payloadStart + payload.length
  view.qos = message.qos ?? 0
  view.retain = message.retain ?? false
  view.dup = message.dup ?? false
  view.own = message.own ?? false
  view.packetId = message.packetId ?? 0
  view.subscription = message.subscription ?? 0
  return view
}

/** The bytes of a view's payload, copied out. */
export function payloadOf(view: MessageView): Buffer {
  return Buffer.from(view.buffer.subarray(view.payloadStart, view.payloadEnd))
}
