import type { FrameBuffer } from './frame-buffer.ts'
import type { MessageView } from './message-view.ts'

/**
 * The far end of a flow: turns a message into a frame of its protocol and writes it. `Target` is what the
 * outlet prepared for one address, so that nothing is built per message.
 */
export interface Outlet<Target> {
  /** Connected, and past the handshake. */
  readonly up: boolean
  /** More is waiting in the socket than should be; the owner is told when that ends. */
  readonly blocked: boolean
  /** Largest payload that fits a frame, bytes. */
  readonly maxPayload: number
  readonly frames: FrameBuffer
  /** Where in `frames.buffer` the frame encoded last begins; it ends at `frames.at`. */
  readonly frameStart: number
  prepare(address: string): Target
  /**
   * Appends the frame of a message to `frames`.
   * @param slot number the window gave it, told to the far side so that its answer names it; -1 for none
   * @param qos on the far side
   */
  encode(view: MessageView, target: Target, slot: number, qos: number): void
  write(bytes: Buffer): void
  /** Address of a frame encoded earlier. */
  addressOf(frame: Buffer, start: number): string
}

/** Where MQTT messages come from, as the flow sees it. */
export interface MqttInlet {
  /** Grows with each connection: an acknowledgement is only written on the connection its message came on. */
  readonly generation: number
  /** Generation of the first connection of the broker's present session: packet ids of before mean nothing now. */
  readonly sessionBegan: number
  /** Appends the acknowledgement of a message of QoS 1 or 2. */
  acknowledge(packetId: number, qos: number): void
  /** Writes what {@link acknowledge} appended. */
  flushAcknowledgements(): void
  /** Goes on reading after the handler had said stop. */
  release(): void
}

/** What the MQTT inlet hands over to. */
export interface MqttHandler {
  /** One message; the view is valid until this returns. Returns false to stop reading after it. */
  onMessage(view: MessageView): boolean
  /** All messages of a chunk were handed over. Returns false to stop reading. */
  onBatchEnd(): boolean
}

/** Where NATS messages come from, as the flow sees it. */
export interface NatsInlet {
  /**
   * The far side has every message of this consumer up to here.
   * @param epoch of the consumer when the message came; a newer one has its own numbers
   */
  settled(consumer: number, epoch: number, streamSequence: number, consumerSequence: number): void
  /** Slots came free: more may be fetched. */
  refill(): void
  /** Stops and resumes reading, all subscriptions at once. */
  hold(on: boolean): void
}

/** A message of a stream, as its consumer numbers it. */
export interface StreamPosition {
  readonly consumer: number
  readonly epoch: number
  readonly streamSequence: number
  readonly consumerSequence: number
  /** Seen before: delivered again after a reconnect. */
  readonly repeated: boolean
}

/** Refusal of a message by the far side. */
export interface Refusal {
  /** `noResponders` when nothing listens; else the server's own number. */
  readonly code: number | 'noResponders'
  readonly text: string
}

/** What to do with a message no stream took although its plan said one would. */
export type NoStreamVerdict = 'retry' | 'settled' | 'noStream'
