import { DeviceLink } from './device-link.ts'
import type { EmbeddedLimits, EmbeddedStats } from './limits.ts'
import type { Offer, Outbox } from './outbox.ts'
import type { RareLog } from './rare-log.ts'
import type { BrokerPacket, StoreView } from './store.ts'
import { isPublishable } from './topics.ts'

/** What the gate knows of a device: the client of the broker library. */
export interface Publisher {
  readonly id: string
  /** Its session ends with the connection. */
  readonly clean: boolean
  readonly closed: boolean
  readonly conn: unknown
}

export interface GateOwner {
  readonly limits: EmbeddedLimits
  readonly stats: EmbeddedStats
  readonly log: RareLog
  readonly outbox: Outbox
  readonly view: Pick<StoreView, 'holdsIncoming'>
  /** Routes the publish of a device that has gone; the library does not. */
  routeFor(publisher: Publisher, packet: BrokerPacket): void
  /** Notes a QoS 2 message as taken, so that its copy is recognised when the device comes back. */
  noteTaken(publisher: Publisher, packet: BrokerPacket): Promise<void>
  /** Publishes may be read again. */
  onRoom(): void
}

type Done = (error?: Error | null) => void

/** A publish of QoS ≥ 1 that waits for the bridge. */
interface Hold {
  readonly publisher: Publisher
  readonly packet: BrokerPacket
  /** Lets the library acknowledge and route it. */
  readonly pass: () => void
  offer: Offer | undefined
  isSettled: boolean
  /** The session it was sent in is over: its packet id says nothing any more. */
  isOrphan: boolean
  /** Copies of the same QoS 2 message that came meanwhile. */
  readonly copies: (() => void)[]
}

/**
 * Holds each publish of a device before the library acknowledges and routes it, until the bridge has taken
 * it: so PUBACK (PUBREC at QoS 2) tells the device that the message is on the other side. What the bridge does
 * not subscribe to passes at once.
 */
export class PublishGate {
  readonly #owner: GateOwner
  readonly #holds = new Map<Publisher, Set<Hold>>()
  /** Held QoS 2 messages by client id and packet id. */
  readonly #open = new Map<string, Map<number, Hold>>()
  #stopped = false

  constructor(owner: GateOwner) {
    this.#owner = owner
  }

  /** False while so many publishes wait that no more are to be read. */
  mayRead(): boolean {
    return this.#owner.stats.held < this.#owner.limits.maxHeld
  }

  /** Called for each publish and will before anything else happens with it; `done` lets it go on. */
  authorize(publisher: Publisher | null, packet: BrokerPacket, done: Done): void {
    const { topic, qos } = packet
    if (this.#stopped) {
      done(new Error('the broker is stopping'))
    } else if (!isPublishable(topic)) {
      done(new Error(`publishing to '${topic}': not a valid topic`))
    } else if (qos === 0) {
      this.#owner.outbox.offer(packet, () => done(null))
    } else if (publisher === null || publisher.closed) {
      this.#holdWill(packet, done)
    } else {
      this.#holdPublish(publisher, packet, done)
    }
  }

  /**
   * The connection is over: what the bridge has not been sent is forgotten, as the device got no answer.
   */
  disconnected(publisher: Publisher): void {
    for (const hold of this.#holds.get(publisher) ?? []) {
      if (hold.offer === undefined || !this.#owner.outbox.withdraw(hold.offer)) continue
      this.#settle(hold)
    }
    this.#holds.delete(publisher)
  }

  /** The session of that client is over. */
  sessionEnded(clientId: string): void {
    for (const hold of this.#open.get(clientId)?.values() ?? []) hold.isOrphan = true
    this.#open.delete(clientId)
  }

  stop(): void {
    this.#stopped = true
  }

  #holdPublish(publisher: Publisher, packet: BrokerPacket, done: Done): void {
    const pass = passer(publisher, done)
    const id = packet.messageId ?? 0
    if (packet.qos === 2) {
      if (this.#owner.view.holdsIncoming(publisher.id, id)) {
        pass()
        return
      }
      const same = this.#open.get(publisher.id)?.get(id)
      if (same !== undefined) {
        same.copies.push(pass)
        return
      }
    }
    const hold = { publisher, packet, pass, ...fresh(), copies: [] }
    const holds = this.#holds.get(publisher) ?? new Set()
    this.#holds.set(publisher, holds.add(hold))
    if (packet.qos === 2) this.#noteOpen(publisher.id, id, hold)
    this.#offer(hold)
  }

  #offer(hold: Hold): void {
    this.#owner.stats.held++
    const offer = this.#owner.outbox.offer(hold.packet, () => this.#taken(hold))
    if (!hold.isSettled) hold.offer = offer
  }

  /** The device is gone and waits for nothing, but order is kept: its will comes after its publishes. */
  #holdWill(packet: BrokerPacket, done: Done): void {
    const { stats, limits, log, outbox } = this.#owner
    if (stats.held >= limits.maxHeld) {
      stats.willsDropped++
      log.warn({ topic: packet.topic }, 'will not handed to the bridge, too many publishes wait')
      done(null)
      return
    }
    stats.held++
    outbox.offer(packet, () => {
      this.#release()
      done(null)
    })
  }

  #taken(hold: Hold): void {
    this.#settle(hold)
    const { publisher, packet } = hold
    if (!publisher.closed) {
      hold.pass()
      passCopies(hold)
      return
    }
    if (packet.qos !== 2 || publisher.clean || hold.isOrphan) {
      this.#owner.routeFor(publisher, packet)
      return
    }
    const route = () => {
      this.#owner.routeFor(publisher, packet)
      passCopies(hold)
    }
    this.#owner.noteTaken(publisher, packet).then(route, route)
  }

  #settle(hold: Hold): void {
    hold.isSettled = true
    const { publisher, packet } = hold
    const holds = this.#holds.get(publisher)
    holds?.delete(hold)
    if (holds?.size === 0) this.#holds.delete(publisher)
    const open = this.#open.get(publisher.id)
    const id = packet.messageId ?? 0
    if (packet.qos === 2 && open?.get(id) === hold) open.delete(id)
    if (open?.size === 0) this.#open.delete(publisher.id)
    this.#release()
  }

  #release(): void {
    const { stats, limits } = this.#owner
    const wasFull = stats.held >= limits.maxHeld
    stats.held--
    if (wasFull && !this.#stopped) this.#owner.onRoom()
  }

  #noteOpen(clientId: string, id: number, hold: Hold): void {
    const open = this.#open.get(clientId) ?? new Map()
    this.#open.set(clientId, open.set(id, hold))
  }
}

function fresh(): Pick<Hold, 'offer' | 'isSettled' | 'isOrphan'> {
  return { offer: undefined, isSettled: false, isOrphan: false }
}

/** Passing waits for the publishes before it, so that acknowledgements keep their order [MQTT-4.6.0-2]. */
function passer(publisher: Publisher, done: Done): () => void {
  const pass = () => done(null)
  return publisher.conn instanceof DeviceLink ? publisher.conn.acks.add(pass) : pass
}

/** A copy follows when the library has noted the message, which it does in its own time but before this. */
function passCopies(hold: Hold): void {
  for (const copy of hold.copies) setImmediate(copy)
}
