import type { Readable } from 'node:stream'
import type { EmbeddedLimits, EmbeddedStats } from './limits.ts'
import type { RareLog } from './rare-log.ts'

/** A message as the broker library passes it about. */
export interface BrokerPacket {
  readonly cmd: 'publish'
  readonly topic: string
  readonly payload: Buffer | string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
  readonly dup?: boolean
  readonly messageId?: number
}

interface Named {
  readonly id: string
}

interface Interested {
  readonly clientId: string
  readonly qos: 0 | 1 | 2
}

interface Subscribed {
  readonly topic: string
}

/** What is used here of the broker library's store; all of it is in memory. */
export interface SessionStore {
  storeRetained(packet: BrokerPacket): Promise<void>
  addSubscriptions(client: Named, subscriptions: Subscribed[]): Promise<void>
  subscriptionsByClient(client: Named): Promise<Subscribed[]>
  cleanSubscriptions(client: Named): Promise<void>
  outgoingEnqueueCombi(subs: readonly Interested[], packet: BrokerPacket): Promise<void>
  outgoingUpdate(client: Named, packet: unknown): Promise<void>
  outgoingClearMessageId(client: Named, packet: unknown): Promise<unknown>
  outgoingStream(client: Named): Readable
  incomingStorePacket(client: Named, packet: BrokerPacket): Promise<void>
  incomingDelPacket(client: Named, packet: { messageId?: number }): Promise<void>
  cleanIncoming(client: Named): Promise<void>
}

/** What the bounded store answers besides. */
export interface StoreView {
  /** Retained messages by topic. */
  readonly retained: ReadonlyMap<string, BrokerPacket>
  /** Whether a QoS 2 message with this id was taken from that client and not yet released. */
  holdsIncoming(clientId: string, messageId: number): boolean
  /** Whether a persistent session of that client can begin or go on. */
  admit(clientId: string): boolean
  /** The client connected without a session to keep: what was kept ends. */
  forget(clientId: string): void
}

/**
 * Puts bounds on the store of the broker library, which has none: it takes the place of the given one and
 * passes on what fits. What does not is counted and logged, never dropped in silence.
 */
export class BoundedStore implements StoreView {
  readonly #inner: SessionStore
  readonly #limits: EmbeddedLimits
  readonly #stats: EmbeddedStats
  readonly #log: RareLog
  readonly #loggedIn: WeakSet<object>
  readonly #retained = new Map<string, BrokerPacket>()
  readonly #queued = new Map<string, number>()
  readonly #incoming = new Map<string, Set<number>>()
  readonly #sessions = new Set<string>()

  /** @param loggedIn the clients of the library that were let in */
  constructor(
    inner: SessionStore,
    limits: EmbeddedLimits,
    stats: EmbeddedStats,
    log: RareLog,
    loggedIn: WeakSet<object>,
  ) {
    this.#loggedIn = loggedIn
    this.#inner = inner
    this.#limits = limits
    this.#stats = stats
    this.#log = log
  }

  get retained(): ReadonlyMap<string, BrokerPacket> {
    return this.#retained
  }

  holdsIncoming(clientId: string, messageId: number): boolean {
    return this.#incoming.get(clientId)?.has(messageId) === true
  }

  admit(clientId: string): boolean {
    if (!this.#sessions.has(clientId) && this.#sessions.size >= this.#limits.maxSessions) {
      return false
    }
    this.#sessions.add(clientId)
    this.#stats.sessions = this.#sessions.size
    return true
  }

  forget(clientId: string): void {
    this.#sessions.delete(clientId)
    this.#stats.sessions = this.#sessions.size
  }

  /** The store to give to the broker library. */
  wrapped(): SessionStore {
    const inner = this.#inner
    const overrides: Partial<SessionStore> = {
      storeRetained: (packet) => this.#storeRetained(packet),
      addSubscriptions: (client, subs) => this.#addSubscriptions(client, subs),
      outgoingEnqueueCombi: (subs, packet) => this.#enqueue(subs, packet),
      // a message delivered although it was not queued has nothing to update
      outgoingUpdate: (client, packet) =>
        inner.outgoingUpdate(client, packet).catch(() => undefined),
      outgoingClearMessageId: async (client, packet) => {
        const found = await inner.outgoingClearMessageId(client, packet)
        if (found !== undefined) this.#dequeued(client.id)
        return found
      },
      incomingStorePacket: (client, packet) => {
        this.#noteIncoming(client.id, packet.messageId)
        return inner.incomingStorePacket(client, packet)
      },
      incomingDelPacket: (client, packet) => {
        this.#incoming.get(client.id)?.delete(packet.messageId ?? 0)
        return inner.incomingDelPacket(client, packet)
      },
      cleanIncoming: async (client) => {
        // the library asks this for a client whose login was refused, too: the session is another's
        if (!this.#loggedIn.has(client)) return
        this.#incoming.delete(client.id)
        await inner.cleanIncoming(client)
      },
    }
    return Object.assign(Object.create(inner) as SessionStore, overrides)
  }

  #storeRetained(packet: BrokerPacket): Promise<void> {
    const { topic } = packet
    const before = this.#retained.get(topic)
    if (before !== undefined) this.#count(-1, -weight(before))
    this.#retained.delete(topic)
    const kept = { ...packet, payload: owned(packet.payload) }
    if (kept.payload.length === 0) return this.#inner.storeRetained(kept)
    const { maxRetained, maxRetainedBytes } = this.#limits
    const tooMany = this.#retained.size >= maxRetained
    if (tooMany || this.#stats.retainedBytes + weight(kept) > maxRetainedBytes) {
      this.#stats.retainedRefused++
      this.#log.warn(
        { topic, retained: this.#retained.size },
        'retained store full, message not retained',
      )
      // the value before would be out of date
      return this.#inner.storeRetained({ ...kept, payload: Buffer.alloc(0) })
    }
    this.#retained.set(topic, kept)
    this.#count(1, weight(kept))
    return this.#inner.storeRetained(kept)
  }

  #count(messages: number, bytes: number): void {
    this.#stats.retained += messages
    this.#stats.retainedBytes += bytes
  }

  async #addSubscriptions(client: Named, subscriptions: Subscribed[]): Promise<void> {
    const have = new Set((await this.#inner.subscriptionsByClient(client)).map((s) => s.topic))
    const fitting: Subscribed[] = []
    for (const subscription of subscriptions) {
      if (!have.has(subscription.topic) && have.size >= this.#limits.maxSubscriptions) continue
      have.add(subscription.topic)
      fitting.push(subscription)
    }
    await this.#inner.addSubscriptions(client, fitting)
  }

  /** Once per session, however many of its filters cover the topic, and with no more QoS than it asked for. */
  async #enqueue(subs: readonly Interested[], packet: BrokerPacket): Promise<void> {
    const highest = new Map<string, Interested>()
    for (const sub of subs) {
      const before = highest.get(sub.clientId)
      if (before === undefined || before.qos < sub.qos) highest.set(sub.clientId, sub)
    }
    if (highest.size === 0) return
    const payload = owned(packet.payload)
    for (const sub of highest.values()) {
      if (!this.#hasRoom(sub.clientId, packet.topic)) continue
      const qos = packet.qos === 2 && sub.qos === 1 ? 1 : packet.qos
      await this.#inner.outgoingEnqueueCombi([sub], { ...packet, payload, qos })
    }
  }

  #hasRoom(clientId: string, topic: string): boolean {
    const queued = this.#queued.get(clientId) ?? 0
    if (queued < this.#limits.maxQueued) {
      this.#queued.set(clientId, queued + 1)
      return true
    }
    this.#stats.queueRefused++
    this.#log.warn({ clientId, topic, queued }, 'session queue full, message not queued')
    return false
  }

  #dequeued(clientId: string): void {
    const left = (this.#queued.get(clientId) ?? 1) - 1
    if (left > 0) this.#queued.set(clientId, left)
    else this.#queued.delete(clientId)
  }

  #noteIncoming(clientId: string, messageId: number | undefined): void {
    const ids = this.#incoming.get(clientId) ?? new Set()
    ids.add(messageId ?? 0)
    this.#incoming.set(clientId, ids)
  }
}

function weight(packet: BrokerPacket): number {
  return packet.topic.length + packet.payload.length
}

/** A copy of the bytes: the original is a piece of a larger buffer, which it would keep in memory. */
function owned(payload: Buffer | string): Buffer {
  return Buffer.from(payload as Buffer)
}
