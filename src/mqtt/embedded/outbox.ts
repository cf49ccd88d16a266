import type { Clock } from '../../core/ports.ts'
import { PacketType } from '../frames.ts'
import { ackFrame, publishFrame } from './bridge-frames.ts'
import type { EmbeddedLimits, EmbeddedStats } from './limits.ts'
import { chain, storedFor } from './retained-feed.ts'
import type { BrokerPacket } from './store.ts'
import { covers } from './topics.ts'

/**
 * What became of a message offered to the bridge: it acknowledged it (QoS 0: it was written), it does not
 * subscribe to it, or it was dropped (QoS 0 only).
 */
export type Outcome = 'taken' | 'unwanted' | 'dropped'

/** A message on its way to the bridge. */
export interface Offer {
  readonly packet: BrokerPacket
  /** Kept from before the bridge subscribed; of no interest when its session ends. */
  readonly stored: boolean
  readonly settle: (outcome: Outcome) => void
  /** 0 before it was written. */
  id: number
  /** Settled on when it is written. */
  qos: number
}

/** Where the outbox writes: false when there is no room after it, `Outbox.drained` follows. */
export type WriteFrame = (frame: Buffer) => boolean

const MAX_IDS = 65_535

/**
 * The way of device messages to the bridge. A message of QoS ≥ 1 stays here until the bridge acknowledged it,
 * over any number of connections of the bridge; while the bridge is away or does not read, it waits. Until the
 * bridge has subscribed for the first time every message of QoS ≥ 1 waits, since nobody knows which it wants.
 */
export class Outbox {
  readonly #limits: EmbeddedLimits
  readonly #stats: EmbeddedStats
  readonly #clock: Clock
  /** Undefined until the bridge said what it wants. */
  #filters: Map<string, number> | undefined
  #write: WriteFrame | undefined
  #room = false
  readonly #waiting = new Set<Offer>()
  #stored: Iterator<BrokerPacket> | undefined
  readonly #inFlight = new Map<number, Offer>()
  /** QoS 2 ids the bridge received and has not completed. */
  readonly #released = new Set<number>()
  #lastId = 0
  #liveOpen = true
  #callOff: (() => void) | undefined

  constructor(limits: EmbeddedLimits, stats: EmbeddedStats, clock: Clock) {
    this.#limits = limits
    this.#stats = stats
    this.#clock = clock
  }

  /** Filters the bridge subscribes to. */
  get subscriptions(): number {
    return this.#filters?.size ?? 0
  }

  /** Offers a message; `settle` is called once, maybe before this returns, unless it is withdrawn. */
  offer(packet: BrokerPacket, settle: (outcome: Outcome) => void): Offer {
    const offer: Offer = { packet, stored: false, settle, id: 0, qos: 0 }
    if (packet.qos === 0) this.#offerLive(offer)
    else if (this.#granted(packet.topic) === -1) settle('unwanted')
    else {
      this.#waiting.add(offer)
      this.#pump()
    }
    return offer
  }

  /** Takes an offer back; false when it was written already. */
  withdraw(offer: Offer): boolean {
    return this.#waiting.delete(offer)
  }

  /** A connection of the bridge begins; with a session kept, what it had not acknowledged is sent again. */
  attach(write: WriteFrame, isResumed: boolean): void {
    this.#write = write
    this.#room = true
    const again = [...this.#inFlight.values()]
    if (isResumed) {
      for (const id of this.#released) this.#send(ackFrame(PacketType.pubrel, id))
      for (const offer of again) this.#send(publishFrame(offer.packet, offer.qos, offer.id, true))
    } else this.#restart(again)
    this.#pump()
  }

  detach(): void {
    this.#write = undefined
    this.#room = false
    this.#dropLive()
  }

  /** @param retained what is retained now; sent as far as the filters cover it, when there is room */
  subscribe(
    filters: readonly { topic: string; qos: number }[],
    retained: Iterable<BrokerPacket>,
  ): void {
    this.#filters ??= new Map()
    for (const { topic, qos } of filters) this.#filters.set(topic, qos)
    const names = filters.map(({ topic }) => topic)
    this.#stored = chain(this.#stored, storedFor(names, retained))
    this.#recheck()
    this.#pump()
  }

  unsubscribe(filters: readonly string[]): void {
    for (const filter of filters) this.#filters?.delete(filter)
    this.#recheck()
  }

  /** PUBACK of the bridge. */
  acknowledged(id: number): void {
    const offer = this.#inFlight.get(id)
    if (offer === undefined) return
    this.#inFlight.delete(id)
    offer.settle('taken')
    this.#pump()
  }

  /** PUBREC of the bridge: it has the message; the id stays in use until PUBCOMP. */
  received(id: number): void {
    const offer = this.#inFlight.get(id)
    this.#inFlight.delete(id)
    if (offer !== undefined) this.#released.add(id)
    this.#send(ackFrame(PacketType.pubrel, id))
    offer?.settle('taken')
  }

  completed(id: number): void {
    this.#released.delete(id)
    this.#pump()
  }

  /** There is room again after a write that returned false. */
  drained(): void {
    this.#room = true
    this.#pump()
  }

  /** Forgets everything; nothing is settled any more. */
  close(): void {
    this.#callOff?.()
    this.#waiting.clear()
    this.#inFlight.clear()
    this.#write = undefined
  }

  #offerLive(offer: Offer): void {
    if (this.#granted(offer.packet.topic) === -1) {
      offer.settle('unwanted')
      return
    }
    if (this.#write === undefined || this.#filters === undefined || !this.#liveOpen) {
      this.#drop(offer)
      return
    }
    this.#waiting.add(offer)
    this.#pump()
    if (!this.#waiting.has(offer)) return
    this.#callOff ??= this.#clock.after(this.#limits.liveGrace, () => this.#dropLive())
  }

  #dropLive(): void {
    this.#stopGrace()
    this.#liveOpen = false
    for (const offer of this.#waiting) {
      if (offer.packet.qos !== 0) continue
      this.#waiting.delete(offer)
      this.#drop(offer)
    }
  }

  #drop(offer: Offer): void {
    this.#stats.liveDropped++
    offer.settle('dropped')
  }

  #stopGrace(): void {
    this.#callOff?.()
    this.#callOff = undefined
  }

  /** The bridge begins anew: what it had not acknowledged goes first, as if never sent. */
  #restart(again: readonly Offer[]): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    this.#inFlight.clear()
    this.#released.clear()
    this.#filters = undefined
    this.#stored = undefined
    for (const offer of again) {
      offer.id = 0
      if (!offer.stored) this.#waiting.add(offer)
    }
    for (const offer of waiting) this.#waiting.add(offer)
  }

  /** After a change of the filters: lets go what the bridge does not want. */
  #recheck(): void {
    for (const offer of this.#waiting) {
      if (this.#granted(offer.packet.topic) !== -1) continue
      this.#waiting.delete(offer)
      offer.settle('unwanted')
    }
  }

  #pump(): void {
    if (this.#filters === undefined) return
    while (this.#room && this.#canSend()) {
      const offer = this.#nextStored() ?? first(this.#waiting)
      if (offer === undefined) {
        this.#liveOpen = true
        this.#stopGrace()
        return
      }
      this.#waiting.delete(offer)
      this.#sendOffer(offer)
    }
  }

  #canSend(): boolean {
    return this.#write !== undefined && this.#inFlight.size + this.#released.size < MAX_IDS
  }

  #nextStored(): Offer | undefined {
    const next = this.#stored?.next()
    if (next === undefined) return undefined
    if (next.done === true) {
      this.#stored = undefined
      return undefined
    }
    return { packet: next.value, stored: true, settle: () => undefined, id: 0, qos: 0 }
  }

  #sendOffer(offer: Offer): void {
    const qos = Math.min(offer.packet.qos, Math.max(0, this.#granted(offer.packet.topic)))
    // a newer value is under way: the stored one would come after it
    if (offer.stored && this.#isUnderWay(offer.packet.topic)) return
    if (qos > 0) {
      offer.id = this.#nextId()
      offer.qos = qos
      this.#inFlight.set(offer.id, offer)
    }
    this.#stats.towardBridge++
    this.#send(publishFrame(offer.packet, qos, offer.id, false))
    if (qos === 0) offer.settle('taken')
  }

  #isUnderWay(topic: string): boolean {
    for (const offer of this.#inFlight.values()) {
      if (!offer.stored && offer.packet.retain && offer.packet.topic === topic) return true
    }
    return false
  }

  #send(frame: Buffer): void {
    if (this.#write !== undefined) this.#room = this.#write(frame)
  }

  #nextId(): number {
    do {
      this.#lastId = this.#lastId >= MAX_IDS ? 1 : this.#lastId + 1
    } while (this.#inFlight.has(this.#lastId) || this.#released.has(this.#lastId))
    return this.#lastId
  }

  /** The highest QoS among the filters that cover the topic; −1 for none, 2 while nothing is known. */
  #granted(topic: string): number {
    if (this.#filters === undefined) return 2
    let granted = -1
    for (const [filter, qos] of this.#filters) {
      if (qos > granted && covers(filter, topic)) granted = qos
    }
    return granted
  }
}

function first<T>(set: Set<T>): T | undefined {
  for (const item of set) return item
  return undefined
}
