import type { DropReason, RouteBooks } from '../core/books.ts'
import type { NatsInlet, Outlet, StreamPosition } from '../core/lanes.ts'
import type { MessageView } from '../core/message-view.ts'
import type { Clock } from '../core/ports.ts'
import { bookDropped, bookForwarded } from './booked.ts'
import type { DropLog } from './drop-log.ts'
import type { Plan } from './plans.ts'
import { Slot, Window } from './window.ts'

/** A broker that closes the link this often over the same unacknowledged message will never take it. */
const STRIKES = 5
/** … each time within this long of being sent it, milliseconds. */
const STRIKE_WITHIN = 2_000

/** The MQTT outlet, as the window needs it beyond {@link Outlet}. */
export interface MqttOutlet<Target> extends Outlet<Target> {
  /** Frames are encoded for MQTT 5. */
  readonly v5: boolean
  /** Whole packet of a message, bytes. */
  packetBytes(view: MessageView, target: Target): number
  readonly maximumPacketSize: number
  /** Maximum QoS of the broker. */
  readonly maximumQos: number
  /** Sets the DUP flag of a kept frame. */
  markRepeated(frame: Buffer, start: number): void
  /** The same packet for the protocol version now in use. */
  recode(frame: Buffer): Buffer
}

export interface MqttWindowDeps<Target> {
  readonly inlet: NatsInlet
  readonly outlet: MqttOutlet<Target>
  readonly clock: Clock
  readonly drops: DropLog
}

/**
 * The messages on their way to MQTT, from the moment they are taken until the broker has acknowledged them
 * and the stream they came from has been told. The slot index is the packet id. Beyond what the broker
 * allows unacknowledged, messages queue here, and everything behind them does too, so order is kept.
 */
export class MqttWindow<Target> {
  readonly window: Window
  /** The time of the batch at hand, monotonic milliseconds. */
  now = 0
  readonly #deps: MqttWindowDeps<Target>
  /** Messages the broker lets us have unacknowledged. */
  #allowed = Number.POSITIVE_INFINITY
  /** Position of the first frame that is neither written nor pending; -1 = there is none. */
  #queued = -1
  #encodedV5 = false
  #sentAt = 0
  #struck = -1
  #strikes = 0
  /** Messages below this position go out one at a time: the broker closed the link over one of them. */
  #carefulUntil = 0
  /** Slot settled last, by consumer. */
  readonly #settled = new Map<number, number>()

  constructor(deps: MqttWindowDeps<Target>, limit: number, limitBytes: number) {
    this.#deps = deps
    this.window = new Window(limit, limitBytes)
  }

  /** New frames must wait behind others, or for the broker. */
  get queueing(): boolean {
    return !this.#deps.outlet.up || this.#queued >= 0 || this.window.size >= this.#most
  }

  /** Messages that may be unacknowledged now. */
  get #most(): number {
    return this.window.head < this.#carefulUntil ? 1 : this.#allowed
  }

  /** Takes a message. @param position where in its stream it stands; absent for a live one */
  take(view: MessageView, plan: Plan<Target>, qos: number, position?: StreamPosition): void {
    const { window } = this
    const { outlet } = this.#deps
    const wait = this.queueing
    outlet.encode(view, plan.target as Target, window.next, qos)
    const slot = this.#open(position)
    window.keep(slot, outlet.frames.buffer, outlet.frameStart, outlet.frames.at)
    window.qos[slot] = qos
    window.books[slot] = plan.books
    window.bytesOf[slot] = view.payloadEnd - view.payloadStart
    plan.books.inFlight++
    if (wait) {
      outlet.frames.setAside(outlet.frameStart)
      if (this.#queued < 0) this.#queued = window.tail - 1
    } else if (qos === 0) window.state[slot] = Slot.delivered
  }

  /** Takes a slot only so that the stream is told in order: the message is accounted for. */
  takeDone(position: StreamPosition): void {
    this.window.state[this.#open(position)] = Slot.done
  }

  /** The pending frames were written. */
  written(): void {
    if (!this.#deps.outlet.up) return
    this.window.sent =
      this.#queued < 0 ? this.window.tail : Math.max(this.#queued, this.window.sent)
  }

  /** The broker acknowledged a packet id; `refusal` says why it did not take the message. */
  onAcknowledged(slot: number, refusal: { reason: DropReason; text: string } | undefined): void {
    const { window } = this
    const position = window.positionOf(slot)
    if (position < 0 || position >= window.sent || window.state[slot] !== Slot.open) return
    if (refusal === undefined) window.state[slot] = Slot.delivered
    else this.#giveUp(slot, refusal.reason, refusal.text)
  }

  /**
   * Tells the streams what is settled and writes what queued, until only the broker's answers are waited for.
   * Returns whether anything was settled.
   */
  advance(): boolean {
    let released = false
    do {
      if (this.release()) released = true
      this.#send()
      // a message of QoS 0 is settled by being written, and makes room for the next
    } while (this.window.isSettled)
    return released
  }

  #send(): void {
    const { window } = this
    const { outlet } = this.#deps
    if (!outlet.up || this.#queued < 0) return
    window.send(
      this.#most,
      (bytes) => outlet.write(bytes),
      (slot) => {
        if (window.qos[slot] === 0) window.state[slot] = Slot.delivered
      },
    )
    this.#sentAt = this.#deps.clock.monotonic()
    this.#queued = window.sent < window.tail ? window.sent : -1
  }

  /** Tells the streams what is settled, from the head on. Returns whether anything was. */
  release(): boolean {
    const { window } = this
    const before = window.head
    const now = this.#deps.clock.monotonic()
    const wall = this.#deps.clock.now()
    while (window.head < window.tail) {
      const slot = window.head & window.mask
      const state = window.state[slot] as number
      if (state < Slot.delivered) break
      if (state === Slot.delivered) bookForwarded(window, slot, now, wall)
      const consumer = (window.lane[slot] as number) - 1
      if (consumer >= 0) this.#settled.set(consumer, slot)
      window.release()
    }
    if (window.head === before) return false
    this.#tellStreams()
    return true
  }

  /** A broker is there: what it has not acknowledged goes out again, first and in order. */
  onUp(allowed: number): void {
    const { window } = this
    this.#allowed = allowed
    if (window.size > 0 && this.#encodedV5 !== this.#deps.outlet.v5) this.#recodeAll()
    this.#encodedV5 = this.#deps.outlet.v5
    window.rewind()
    this.#queued = window.size > 0 ? window.head : -1
    this.advance()
  }

  onDown(): void {
    const { window } = this
    this.#strike()
    for (let at = window.head; at < window.sent; at++) {
      const slot = at & window.mask
      if (window.qos[slot] === 0 || window.state[slot] !== Slot.open) continue
      const frame = window.buffer[slot] as Buffer
      this.#deps.outlet.markRepeated(frame, window.start[slot] as number)
      const books = window.books[slot] as RouteBooks
      books.retried++
    }
    window.rewind()
    this.#queued = window.size > 0 ? window.head : -1
  }

  #open(position: StreamPosition | undefined): number {
    const { window } = this
    const slot = window.open(this.#deps.outlet.frames.slab, this.now)
    window.lane[slot] = position === undefined ? 0 : position.consumer + 1
    if (position !== undefined) {
      window.epoch[slot] = position.epoch
      window.token[slot] = position.streamSequence
      window.token2[slot] = position.consumerSequence
    }
    return slot
  }

  #tellStreams(): void {
    const { window } = this
    for (const [consumer, slot] of this.#settled) {
      this.#deps.inlet.settled(
        consumer,
        window.epoch[slot] as number,
        window.token[slot] as number,
        window.token2[slot] as number,
      )
    }
    this.#settled.clear()
  }

  #giveUp(slot: number, reason: DropReason, text: string): void {
    bookDropped(this.window, slot, this.#deps.drops, { reason, text })
  }

  /** A broker that closes the link over one message would do so for ever: it is let go in the end. */
  #strike(): void {
    const { window } = this
    const soon = this.#deps.clock.monotonic() - this.#sentAt < STRIKE_WITHIN
    const slot = window.head & window.mask
    if (!soon || window.sent === window.head || window.state[slot] !== Slot.open) return
    // which of several it was shows when they go one by one
    this.#carefulUntil = window.sent
    if (window.sent > window.head + 1) return
    this.#strikes = this.#struck === window.head ? this.#strikes + 1 : 1
    this.#struck = window.head
    if (this.#strikes < STRIKES) return
    this.#giveUp(slot, 'rejected', `the broker closed the link ${STRIKES} times over this message`)
  }

  #recodeAll(): void {
    const { window } = this
    for (let at = window.head; at < window.tail; at++) {
      const slot = at & window.mask
      const frame = window.buffer[slot]?.subarray(window.start[slot], window.end[slot])
      if (frame === undefined) continue
      const recoded = this.#deps.outlet.recode(frame)
      window.keep(slot, recoded, 0, recoded.length)
    }
  }
}
