import type { DropReason, RouteBooks } from '../core/books.ts'
import type { MqttInlet, NoStreamVerdict, Outlet, Refusal } from '../core/lanes.ts'
import type { MessageView } from '../core/message-view.ts'
import type { Clock } from '../core/ports.ts'
import { bookDropped, bookForwarded } from './booked.ts'
import type { DropLog } from './drop-log.ts'
import { Mode, type Plan } from './plans.ts'
import { Retry } from './retry.ts'
import { Slot, Window } from './window.ts'

/** A publish that no answer came for is sent again after this long, milliseconds. */
const ANSWER_TIMEOUT = 10_000

/** JetStream: message size exceeds maximum allowed. Trying again cannot help. */
const TOO_LARGE_FOR_STREAM = 10_054

export interface NatsWindowDeps<Target> {
  readonly inlet: MqttInlet
  /** `ping` makes the server say when it has worked off everything written so far. */
  readonly outlet: Outlet<Target> & { ping(position: number): void }
  readonly clock: Clock
  readonly drops: DropLog
  /** @param tries how often nobody answered for it */
  readonly onNoStream: (subject: string, route: string, tries: number) => NoStreamVerdict
}

/**
 * The messages of QoS ≥ 1 on their way to NATS, from the moment they are taken until their acknowledgement
 * is written to the broker. Settled by a stream's answer (durable) or by the PONG of a PING sent behind the
 * message (confirmed); released, and acknowledged, in receive order.
 */
export class NatsWindow<Target> {
  readonly window: Window
  readonly #deps: NatsWindowDeps<Target>
  readonly #retry: Retry
  /** Position a PING on its way covers; -1 = none on its way. */
  #pinged = -1
  /** Confirmed messages were written after the last PING. */
  #unpinged = false
  /** A connection broke, and what was on its way has not been written again. */
  #behind = false
  /** The server has worked off everything below this position: confirmed slots there are settled. */
  #confirmed = 0
  /** When everything unsettled was last written, monotonic milliseconds. */
  #sentAt = 0
  /** The time of the batch at hand, monotonic milliseconds. */
  now = 0

  constructor(deps: NatsWindowDeps<Target>, limit: number, limitBytes: number) {
    this.#deps = deps
    this.window = new Window(limit, limitBytes)
    this.#retry = new Retry(deps.clock, () => {
      // more than the socket takes would only queue there
      if (deps.outlet.blocked) this.#retry.schedule(0)
      else this.sendAgain()
    })
  }

  /** New frames wait: there is no connection, or something older must go first. */
  get holding(): boolean {
    return !this.#deps.outlet.up || this.#behind || this.#retry.pending
  }

  /** Takes a message: encodes it, keeps its frame, and leaves it pending unless new frames wait. */
  take(view: MessageView, plan: Plan<Target>): void {
    const { window } = this
    const { outlet, inlet } = this.#deps
    const { frames } = outlet
    const answered = plan.mode === Mode.durable ? window.tail : -1
    outlet.encode(view, plan.target as Target, answered, Math.min(view.qos, plan.qos))
    const slot = window.open(frames.slab, this.now)
    window.keep(slot, frames.buffer, outlet.frameStart, frames.at)
    window.token[slot] = view.packetId
    window.epoch[slot] = inlet.generation
    window.lane[slot] = plan.mode
    window.qos[slot] = view.qos
    window.books[slot] = plan.books
    window.bytesOf[slot] = view.payloadEnd - view.payloadStart
    plan.books.inFlight++
    if (plan.mode === Mode.live) {
      // settled by being written, whatever waits
      window.state[slot] = Slot.delivered
      return
    }
    if (plan.mode === Mode.confirmed) this.#unpinged = true
    if (this.holding) frames.setAside(outlet.frameStart)
  }

  /** Takes a slot only for the acknowledgement of an accounted message, which must wait its turn. */
  takeDone(view: MessageView): void {
    const { window } = this
    const slot = window.open(this.#deps.outlet.frames.slab, this.now)
    window.state[slot] = Slot.done
    window.token[slot] = view.packetId
    window.epoch[slot] = this.#deps.inlet.generation
    window.qos[slot] = view.qos
  }

  /**
   * Whether the broker sent again, on a new connection, what is on its way to NATS already: same session, same
   * packet id, never acknowledged, so the broker cannot have given the id to another message.
   */
  isOnItsWay(view: MessageView): boolean {
    const { window } = this
    const { inlet } = this.#deps
    for (let at = window.head; at < window.tail; at++) {
      const slot = at & window.mask
      if (window.token[slot] !== view.packetId || window.state[slot] === Slot.done) continue
      const epoch = window.epoch[slot] as number
      if (epoch !== inlet.generation && epoch >= inlet.sessionBegan) return true
    }
    return false
  }

  /** The pending frames were written. */
  written(): void {
    if (this.holding) return
    this.window.sent = this.window.tail
    this.#ping()
  }

  /**
   * A stream answered for a message; `refusal` is absent when it has it. Named by position, not by slot: what
   * was written twice is answered twice, and the slot may hold another message by then.
   */
  onAnswer(position: number, refusal: Refusal | undefined): void {
    const { window } = this
    const slot = position & window.mask
    if (position < window.head || position >= window.tail) return
    if (window.state[slot] !== Slot.open || window.lane[slot] !== Mode.durable) return
    if (refusal === undefined) {
      window.state[slot] = Slot.delivered
      return
    }
    this.#deps.drops.note(window.books[slot] as RouteBooks, 'retry', refusal.text)
    if (refusal.code === TOO_LARGE_FOR_STREAM) this.#giveUp(slot, 'tooLarge')
    else if (refusal.code === 'noResponders') this.#noStream(slot)
    else this.#again(slot)
  }

  /** Everything written before the PING with this position has been worked off by the server. */
  onPong(position: number): void {
    const { window } = this
    this.#pinged = -1
    for (let at = Math.max(this.#confirmed, window.head); at < position; at++) {
      const slot = at & window.mask
      if (window.lane[slot] === Mode.confirmed && window.state[slot] === Slot.open) {
        window.state[slot] = Slot.delivered
      }
    }
    this.#confirmed = position
    this.#ping()
  }

  /** Writes everything unsettled again, in order. */
  sendAgain(): void {
    const { window } = this
    const { outlet } = this.#deps
    if (!outlet.up) return
    this.#retry.cancel()
    this.#behind = false
    this.#sentAt = this.#deps.clock.monotonic()
    window.rewind()
    window.send(window.size, (bytes) => outlet.write(bytes))
    this.#pinged = -1
    this.#confirmed = window.head
    this.#unpinged = window.size > 0
    this.#ping()
  }

  /** The connection is gone, and with it every answer. */
  onDown(): void {
    this.#retry.cancel()
    this.#behind = true
    this.#pinged = -1
    this.#confirmed = this.window.head
    this.window.rewind()
  }

  /** Gives up the oldest message on its way to a subject; false when there is none. */
  deny(subject: string): boolean {
    const { window } = this
    for (let at = window.head; at < window.sent; at++) {
      const slot = at & window.mask
      if (window.state[slot] !== Slot.open || this.#subjectOf(slot) !== subject) continue
      this.#giveUp(slot, 'denied')
      return true
    }
    return false
  }

  /** Looks for answers that do not come. */
  tick(): void {
    const { window } = this
    if (this.holding || window.sent === window.head) return
    const slot = window.head & window.mask
    const since = Math.max(window.since[slot] as number, this.#sentAt)
    if (this.#deps.clock.monotonic() - since <= ANSWER_TIMEOUT) return
    if (window.head >= this.#confirmed) {
      // a slow connection may still carry it: writing more would only fill its queue
      this.#unpinged = true
      this.#ping()
      return
    }
    // a server does not say that nobody answers while anybody listens to everything
    if (window.lane[slot] === Mode.durable) this.#noStream(slot)
    else this.#again(slot)
  }

  /** NATS is there and its streams are known, or have changed: what waits goes out, once on each connection. */
  onStreams(): void {
    this.#reconsider()
    if (this.#behind) this.sendAgain()
    else this.#ping()
  }

  /**
   * What waits for the answer of a stream that is gone is settled another way; it has been published already.
   * What the server now there does not take would make it close the connection, again and again.
   */
  #reconsider(): void {
    const { window } = this
    for (let at = window.head; at < window.tail; at++) {
      const slot = at & window.mask
      if (window.state[slot] !== Slot.open) continue
      if ((window.bytesOf[slot] as number) > this.#deps.outlet.maxPayload) {
        this.#giveUp(slot, 'tooLarge')
        continue
      }
      if (window.lane[slot] !== Mode.durable) continue
      const { route } = window.books[slot] as RouteBooks
      const verdict = this.#deps.onNoStream(this.#subjectOf(slot), route, Number.POSITIVE_INFINITY)
      if (verdict === 'noStream') this.#giveUp(slot, 'noStream')
      else if (verdict === 'settled') {
        window.lane[slot] = Mode.confirmed
        this.#unpinged = true
        // it may lie below what earlier PONGs covered
        this.#confirmed = window.head
      }
    }
  }

  /** Acknowledges what is settled, from the head on. Returns whether anything was. */
  release(): boolean {
    const { window } = this
    const { inlet, clock } = this.#deps
    const before = window.head
    const now = clock.monotonic()
    const wall = clock.now()
    while (window.head < window.tail) {
      const slot = window.head & window.mask
      const state = window.state[slot] as number
      if (state < Slot.delivered) break
      if (state === Slot.delivered) bookForwarded(window, slot, now, wall)
      if (window.epoch[slot] === inlet.generation) {
        inlet.acknowledge(window.token[slot] as number, window.qos[slot] as number)
      }
      window.release()
    }
    if (window.head === before) return false
    inlet.flushAcknowledgements()
    return true
  }

  #ping(): void {
    if (!this.#unpinged || this.#pinged >= 0 || this.holding) return
    this.#unpinged = false
    this.#pinged = this.window.tail
    this.#deps.outlet.ping(this.#pinged)
  }

  /** Subject of an open slot. */
  #subjectOf(slot: number): string {
    const { buffer, start } = this.window
    return this.#deps.outlet.addressOf(buffer[slot] as Buffer, start[slot] as number)
  }

  #noStream(slot: number): void {
    const { window } = this
    const { route } = window.books[slot] as RouteBooks
    const tries = window.refusals[slot] as number
    const verdict = this.#deps.onNoStream(this.#subjectOf(slot), route, tries)
    if (verdict === 'settled') window.state[slot] = Slot.delivered
    else if (verdict === 'noStream') this.#giveUp(slot, 'noStream')
    else this.#again(slot)
  }

  #again(slot: number): void {
    const { window } = this
    window.refusals[slot] = Math.min(255, (window.refusals[slot] as number) + 1)
    const books = window.books[slot] as RouteBooks
    books.retried++
    this.#retry.schedule(window.refusals[slot] as number)
  }

  #giveUp(slot: number, reason: DropReason): void {
    const why = { reason, text: 'refused by NATS' }
    bookDropped(this.window, slot, this.#deps.drops, why)
  }
}
