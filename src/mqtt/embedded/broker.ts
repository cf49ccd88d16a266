import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Aedes, type AedesOptions, type Client, type Subscription } from 'aedes'
import type { EmbeddedConfig } from '../../core/config.ts'
import { BridgeError } from '../../core/errors.ts'
import type { Clock, Logger, Part } from '../../core/ports.ts'
import { type CloseCause, DeviceLink } from './device-link.ts'
import { DEFAULT_LIMITS, type EmbeddedLimits, EmbeddedStats } from './limits.ts'
import { isLoopback, Listener, parseListen } from './listener.ts'
import { LocalSession } from './local-session.ts'
import { Logins, linkOf } from './logins.ts'
import { Outbox } from './outbox.ts'
import { type Publisher, PublishGate } from './publish-gate.ts'
import { RareLog } from './rare-log.ts'
import { BoundedStore, type BrokerPacket, type SessionStore } from './store.ts'
import { Users } from './users.ts'

/** The library waits this long for a device that does not read; its link cuts it off long before. */
const DRAIN_TIMEOUT_MS = 5_000

export interface EmbeddedDeps {
  readonly logger: Logger
  readonly clock: Clock
  /** Client id of the bridge itself; a device may not take it. */
  readonly bridgeClientId: string
  readonly limits?: Partial<EmbeddedLimits>
}

/** What is used of the library and not in its types. */
interface Internals {
  persistence: SessionStore
  publish(packet: BrokerPacket, client: unknown, done: (error?: Error | null) => void): void
}

/**
 * An MQTT 3.1.1 broker inside the process, for devices that have no other. The bridge talks to it through
 * {@link EmbeddedBroker.dialLocal}; a device's publish of QoS ≥ 1 is acknowledged when the bridge acknowledged
 * it. Sessions, queues and retained messages are in memory: docs/embedded.md says what that means.
 */
export class EmbeddedBroker implements Part {
  readonly stats = new EmbeddedStats()
  readonly #config: EmbeddedConfig
  readonly #limits: EmbeddedLimits
  readonly #logger: Logger
  readonly #log: RareLog
  readonly #clock: Clock
  readonly #users: Users | undefined
  readonly #listener: Listener
  readonly #outbox: Outbox
  readonly #gate: PublishGate
  readonly #logins: Logins
  readonly #local: LocalSession
  readonly #links = new Set<DeviceLink>()
  readonly #loggedIn = new WeakSet<object>()
  /** Filters granted to each client. */
  readonly #filters = new WeakMap<Client, Set<string>>()
  #store: BoundedStore | undefined
  #aedes: Aedes | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  constructor(config: EmbeddedConfig, deps: EmbeddedDeps) {
    const { logger, clock } = deps
    const limits = { ...DEFAULT_LIMITS, ...deps.limits }
    this.#config = config
    this.#limits = limits
    this.#logger = logger
    this.#clock = clock
    this.#log = new RareLog(logger, clock)
    this.#users =
      config.usersFile === undefined ? undefined : new Users(config.usersFile, logger, clock)
    const { stats } = this
    const log = this.#log
    const onSocket = (socket: Socket) => this.#accept(socket)
    this.#listener = new Listener(config, { limits, stats, logger, clock, onSocket })
    const outbox = new Outbox(limits, stats, clock)
    this.#outbox = outbox
    this.#gate = new PublishGate({
      limits,
      stats,
      log,
      outbox,
      view: {
        holdsIncoming: (clientId, id) => this.#store?.holdsIncoming(clientId, id) === true,
      },
      routeFor: (publisher, packet) => this.#route(packet, publisher, () => undefined),
      noteTaken: async (publisher, packet) =>
        this.#internals()?.persistence.incomingStorePacket(publisher, packet),
      onRoom: () => this.#readOn(),
    })
    this.#logins = new Logins({
      stats,
      log,
      bridgeClientId: deps.bridgeClientId,
      users: this.#users,
      sessions: {
        admit: (clientId) => this.#store?.admit(clientId) === true,
        forget: (clientId) => this.#store?.forget(clientId),
      },
    })
    this.#local = new LocalSession({
      limits,
      stats,
      log,
      clock,
      outbox,
      route: (packet, done) => this.#route(packet, null, done),
      retained: () => this.#store?.retained.values() ?? [],
    })
  }

  /** The port devices connect to; 0 when not listening. */
  get port(): number {
    return this.#listener.port
  }

  /** Whether the bridge is connected to it. */
  get bridgeConnected(): boolean {
    return this.#local.connected
  }

  /** @throws BridgeError LISTEN_FAILED, USERS_FILE_INVALID, TLS_FILE_UNREADABLE */
  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  /** Closes all connections; what devices published and the bridge did not acknowledge stays unacknowledged. */
  stop(): Promise<void> {
    const started = this.#starting?.catch(() => undefined) ?? Promise.resolve()
    this.#stopping ??= started.then(() => this.#close())
    return this.#stopping
  }

  /**
   * Opens a byte stream to the broker for the bridge itself, trusted without a password: MQTT 3.1.1, begun
   * with CONNECT. Its subscriptions are wanted in one SUBSCRIBE, since publishes wait until they are known.
   */
  dialLocal(): Duplex {
    return this.#local.dial()
  }

  async #start(): Promise<void> {
    if (this.#stopping !== undefined) {
      throw new BridgeError('starting the embedded broker: stopped', { code: 'SHUTTING_DOWN' })
    }
    this.#users?.load()
    const { host } = parseListen(this.#config.listen)
    const aedes = new Aedes(this.#hooks())
    this.#aedes = aedes
    await aedes.listen()
    const internals = aedes as unknown as Internals
    this.#store = new BoundedStore(
      internals.persistence,
      this.#limits,
      this.stats,
      this.#log,
      this.#loggedIn,
    )
    internals.persistence = this.#store.wrapped()
    this.#observe(aedes)
    try {
      await this.#listener.open()
    } catch (thrown) {
      this.#stopping = this.#close()
      await this.#stopping
      throw thrown
    }
    const { listen, certFile } = this.#config
    this.#logger.info(
      { listen, port: this.port, tls: certFile !== undefined },
      'embedded broker listens',
    )
    if (this.#users === undefined && !isLoopback(host)) {
      this.#logger.warn({ listen }, 'embedded broker lets everybody in: it has no users file')
    }
  }

  async #close(): Promise<void> {
    const closed = this.#listener.close()
    this.#gate.stop()
    this.#outbox.close()
    this.#local.close()
    const aedes = this.#aedes
    if (aedes !== undefined) await new Promise<void>((resolve) => aedes.close(resolve))
    for (const link of this.#links) link.destroy()
    this.#listener.closeSockets()
    await closed
  }

  #hooks(): AedesOptions {
    return {
      connectTimeout: this.#limits.connectTimeout,
      drainTimeout: DRAIN_TIMEOUT_MS,
      preConnect: (client, packet, done) => {
        this.#logins.preConnect(client, packet)
        done(null, true)
      },
      authenticate: (client, name, password, done) => {
        // never rejects: what goes wrong is a refusal
        void this.#logins
          .authenticate(client, name, password)
          .then((refusal) => done(refusal ?? null, refusal === undefined))
      },
      authorizePublish: (client, packet, done) =>
        this.#gate.authorize(client as Publisher | null, packet as BrokerPacket, done),
      authorizeSubscribe: (client, subscription, done) =>
        done(null, this.#maySubscribe(client, subscription) ? subscription : null),
    }
  }

  #observe(aedes: Aedes): void {
    aedes.on('client', (client) => {
      this.#loggedIn.add(client)
      if (client.clean) this.#gate.sessionEnded(client.id)
    })
    aedes.on('unsubscribe', (filters, client) => {
      for (const filter of filters) this.#filters.get(client)?.delete(filter)
    })
    aedes.on('clientReady', (client) => linkOf(client)?.loggedIn())
    aedes.on('clientError', (client, error) => {
      this.stats.closed.error++
      this.#logger.debug({ clientId: client.id, error: error.message }, 'device connection failed')
    })
    const emitter: EventEmitter = aedes
    emitter.on('error', (error: Error) => {
      this.#log.warn({ error: error.message }, 'embedded broker reports an error')
    })
  }

  #accept(socket: Socket): void {
    const link = new DeviceLink(socket, {
      limits: this.#limits,
      clock: this.#clock,
      mayRead: () => this.#gate.mayRead(),
      onCut: (cut, cause, detail) => this.#cut(cut, cause, detail),
    })
    const aedes = this.#aedes
    if (aedes === undefined || this.#stopping !== undefined) {
      socket.destroy()
      return
    }
    this.#links.add(link)
    this.stats.clients = this.#links.size
    const client = aedes.handle(link)
    link.on('close', () => {
      this.#links.delete(link)
      this.stats.clients = this.#links.size
      this.#gate.disconnected(client)
      if (client.clean && this.#loggedIn.has(client)) this.#gate.sessionEnded(client.id)
    })
    link.open()
  }

  #cut(link: DeviceLink, cause: CloseCause, detail: string): void {
    this.stats.closed[cause]++
    this.#log.warn({ address: link.address, detail }, `device connection closed: ${cause}`)
  }

  #maySubscribe(client: Client, subscription: Subscription): boolean {
    const have = this.#filters.get(client) ?? new Set()
    this.#filters.set(client, have)
    if (have.has(subscription.topic) || have.size < this.#limits.maxSubscriptions) {
      have.add(subscription.topic)
      return true
    }
    this.stats.subscriptionsRefused++
    this.#log.warn({ clientId: client.id }, 'subscription refused, the client has its fill')
    return false
  }

  #readOn(): void {
    for (const link of this.#links) link.readOn()
  }

  #internals(): Internals | undefined {
    return this.#aedes as unknown as Internals | undefined
  }

  #route(
    packet: BrokerPacket,
    publisher: Publisher | null,
    done: (error?: Error | null) => void,
  ): void {
    const internals = this.#internals()
    if (internals === undefined || this.#stopping !== undefined)
      done(new Error('the broker is stopped'))
    else internals.publish(packet, publisher, done)
  }
}
