declare global {
  interface Buffer {
    /** Node's own slice-to-string, without the encoding lookup of `toString`; absent from its types. */
    latin1Slice(start: number, end: number): string
    utf8Slice(start: number, end: number): string
  }
}

/**
 * The message at hand, seen in the bytes it came in: one cursor per source, moved from frame to frame and
 * valid only until the handler returns. No object is made per message.
 */
export class MessageView {
  /** Bytes the ranges below point into. */
  buffer: Buffer = Buffer.alloc(0)
  /** Topic or subject. */
  nameStart = 0
  nameEnd = 0
  payloadStart = 0
  payloadEnd = 0
  /** MQTT 5 properties without their length, or the NATS header block; empty when start = end. */
  headStart = 0
  headEnd = 0
  /** NATS reply subject; empty when start = end. Always empty for MQTT. */
  replyStart = 0
  replyEnd = 0
  /** Of a NATS message without `Mqtt-QoS` -1. */
  qos = 0
  retain = false
  /** A NATS message this bridge published itself, as its `Mqtt-Origin` says. */
  own = false
  /** MQTT only. */
  dup = false
  packetId = 0
  /** NATS subscription id, or the MQTT 5 subscription identifier (0 = none). */
  subscription = 0

  /** The name as a cache key: one char per byte, no decoding. */
  get nameKey(): string {
    return this.buffer.latin1Slice(this.nameStart, this.nameEnd)
  }

  /** The name as text. */
  get name(): string {
    return this.buffer.utf8Slice(this.nameStart, this.nameEnd)
  }

  get payloadLength(): number {
    return this.payloadEnd - this.payloadStart
  }
}
