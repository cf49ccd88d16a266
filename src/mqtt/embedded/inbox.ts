import type { Duplex } from 'node:stream'
import type { IPublishPacket } from 'mqtt-packet'
import { PacketType } from '../frames.ts'
import { ackFrame } from './bridge-frames.ts'
import { InOrder } from './in-order.ts'
import type { EmbeddedStats } from './limits.ts'
import type { RareLog } from './rare-log.ts'
import type { BrokerPacket } from './store.ts'
import { isPublishable } from './topics.ts'

export interface InboxOwner {
  readonly stats: EmbeddedStats
  readonly log: RareLog
  /** Routes a message to the devices and stores it for absent ones; `done` when that has happened. */
  route(packet: BrokerPacket, done: (error?: Error | null) => void): void
  /** What is retained now. */
  retained(): Iterable<BrokerPacket>
}

/** Messages being routed before the bridge is not read, and at which it is read again. */
const MOST_OPEN = 256
const READ_AGAIN = 128

/**
 * The way of the bridge's messages to the devices: each is acknowledged, in order, when it has been routed and
 * stored for absent sessions. What no device can get is acknowledged too, counted and logged, since MQTT 3.1.1
 * has no way to refuse it.
 */
export class Inbox {
  readonly #owner: InboxOwner
  readonly #acks = new InOrder()
  readonly #received = new Set<number>()
  #open = 0
  #paused: Duplex | undefined

  constructor(owner: InboxOwner) {
    this.#owner = owner
  }

  /** A connection begins. */
  begin(isResumed: boolean): void {
    this.#acks.clear()
    if (!isResumed) this.#received.clear()
  }

  publish(packet: IPublishPacket, write: (frame: Buffer) => boolean, source: Duplex): void {
    const id = packet.messageId ?? 0
    const acked = this.#ackFor(packet.qos, id, write)
    if (packet.qos === 2 && this.#received.has(id)) {
      acked()
      return
    }
    if (packet.qos === 2) this.#received.add(id)
    this.#owner.stats.fromBridge++
    if (!isPublishable(packet.topic)) {
      this.#refused(packet.topic, 'not a valid topic')
      acked()
      return
    }
    const { topic, payload, qos, retain } = packet
    if (++this.#open >= MOST_OPEN) this.#pause(source)
    this.#owner.route({ cmd: 'publish', topic, payload, qos, retain }, (error) => {
      if (error) this.#refused(topic, error.message)
      if (--this.#open <= READ_AGAIN) this.#resume()
      acked()
    })
  }

  /** PUBREL of the bridge; answered also when the id is unknown. */
  release(id: number, write: (frame: Buffer) => boolean): void {
    this.#received.delete(id)
    write(ackFrame(PacketType.pubcomp, id))
  }

  #pause(source: Duplex): void {
    source.pause()
    this.#paused = source
  }

  #resume(): void {
    this.#paused?.resume()
    this.#paused = undefined
  }

  #ackFor(qos: number, id: number, write: (frame: Buffer) => boolean): () => void {
    if (qos === 0) return () => undefined
    const type = qos === 1 ? PacketType.puback : PacketType.pubrec
    return this.#acks.add(() => write(ackFrame(type, id)))
  }

  #refused(topic: string, why: string): void {
    this.#owner.stats.bridgeRefused++
    this.#owner.log.warn({ topic, why }, 'message of the bridge cannot be delivered to devices')
  }
}
