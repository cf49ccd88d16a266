import { createHash, randomBytes } from 'node:crypto'
import type { BridgeConfig, RouteConfig } from './core/config.ts'
import type { DecisionListener } from './core/decision.ts'
import { BridgeError, type Problem } from './core/errors.ts'
import { type Clock, LinkReport, type Logger, type Part } from './core/ports.ts'
import type { BridgeReport, BridgeState, ExpiryReport } from './core/status.ts'
import { Flows } from './delivery/flows.ts'
import { matchSubject, wildcardCovers, wildcardsIntersect } from './mapping/filters.ts'
import { compileRoutes, type RouteTable } from './mapping/route-table.ts'
import { EmbeddedBroker } from './mqtt/embedded/broker.ts'
import type { MqttLinkFacts } from './mqtt/link-facts.ts'
import { MqttSide, type MqttSideHandler } from './mqtt/side.ts'
import type { MqttTarget } from './mqtt/sink.ts'
import { userJwtExpiry } from './nats/auth.ts'
import { NatsSide, type NatsSideHandler } from './nats/side.ts'
import type { NatsTarget } from './nats/sink.ts'

/** What the bridge is given from outside. */
export interface BridgeDeps {
  /** The log of one room. */
  readonly log: (room: string) => Logger
  readonly clock: Clock
  readonly version: string
}

const TICK_MS = 1_000

/** Mistakes in the routes that only the mapping can see, for the report of a bad configuration. */
export function checkRoutes(routes: readonly RouteConfig[]): {
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
} {
  return compileRoutes(routes)
}

/**
 * The bridge: builds both sides and the flows between them, starts and stops them in order, and says how it
 * is. The only file that knows every room.
 */
export class Bridge implements Part {
  readonly #config: BridgeConfig
  readonly #deps: BridgeDeps
  readonly #table: RouteTable
  readonly #links = { mqtt: new LinkReport('mqtt'), nats: new LinkReport('nats') }
  readonly #embedded: EmbeddedBroker | undefined
  readonly #mqtt: MqttSide
  readonly #nats: NatsSide
  readonly #flows: Flows<NatsTarget, MqttTarget>
  #state: BridgeState = 'idle'
  #startedAt = 0
  #callOff: () => void = () => undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  /** @throws BridgeError CONFIG_INVALID when a route cannot be compiled; {@link checkRoutes} tells them all */
  constructor(config: BridgeConfig, deps: BridgeDeps) {
    const { table, problems } = compileRoutes(config.routes)
    const [problem] = problems
    if (problem !== undefined) {
      const text = `compiling the routes: ${problem.path}: ${problem.text}`
      throw new BridgeError(text, { code: 'CONFIG_INVALID' })
    }
    this.#config = config
    this.#deps = deps
    this.#table = table
    this.#embedded = this.#makeEmbedded()
    this.#mqtt = this.#makeMqtt()
    this.#nats = this.#makeNats()
    this.#flows = this.#makeFlows()
  }

  /** Begins to dial both sides; one that is away is no failure. Rejects when a port cannot be listened on. */
  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  /** Takes no more and settles what is in flight, for at most `ms`. What is left is delivered again next time. */
  async drain(ms: number): Promise<void> {
    if (this.#state !== 'running') return
    this.#state = 'draining'
    this.#flows.drain()
    const deadline = this.#deps.clock.monotonic() + ms
    while (this.#deps.clock.monotonic() < deadline && !this.#flows.drained) await moment(10)
    await Promise.race([this.#nats.flush().catch(() => undefined), moment(500)])
  }

  /** Leaves both sides in order. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  /** Dials at once whatever waits: a secret or certificate changed. */
  secretsChanged(): void {
    this.#mqtt.retryNow()
    this.#nats.retryNow()
  }

  /** Tells the listener what is decided about each message from now on; undefined ends that. */
  tap(listener: DecisionListener | undefined): void {
    this.#flows.tap(listener)
  }

  /** Port the embedded broker listens on; undefined without one. */
  get embeddedPort(): number | undefined {
    return this.#embedded?.port
  }

  report(): BridgeReport {
    const { mqtt, nats } = this.#links
    const reasons = this.#reasons()
    return {
      version: this.#deps.version,
      state: this.#state,
      startedAt: this.#startedAt,
      ready: reasons.length === 0,
      reasons,
      links: this.#links,
      routes: this.#flows.routeReports(),
      flows: this.#flows.flowReports(),
      expiries: this.#expiries(),
      lastErrors: [mqtt.lastError, nats.lastError].filter((error) => error !== undefined),
    }
  }

  async #start(): Promise<void> {
    this.#state = 'starting'
    this.#startedAt = this.#deps.clock.now()
    await this.#embedded?.start()
    await this.#nats.start()
    await this.#mqtt.start()
    this.#state = 'running'
    this.#tick()
  }

  async #stop(): Promise<void> {
    this.#callOff()
    await this.#mqtt.stop()
    await this.#nats.stop()
    await this.#embedded?.stop()
    this.#state = 'stopped'
  }

  #tick(): void {
    this.#flows.toNats.tick()
    this.#nats.tick()
    this.#callOff = this.#deps.clock.after(TICK_MS, () => this.#tick())
  }

  /** Why it cannot deliver; each begins with its side. */
  #reasons(): string[] {
    if (this.#state !== 'running') return [`bridge: ${this.#state}`]
    return [
      ...this.#links.mqtt.reasons.map((reason) => `mqtt: ${reason}`),
      ...(this.#mqtt.reason === '' ? [] : [`mqtt: ${this.#mqtt.reason}`]),
      ...this.#links.nats.reasons.map((reason) => `nats: ${reason}`),
      ...this.#nats.reasons.map((reason) => `nats: ${reason}`),
      ...this.#flows.withoutStream.map(
        (route) => `nats: no stream for the durable route '${route}'`,
      ),
    ]
  }

  #expiries(): ExpiryReport[] {
    const { auth, account = '' } = this.#config.nats
    const expiresAt = userJwtExpiry(auth)
    return expiresAt === undefined ? [] : [{ credential: 'nats user jwt', account, expiresAt }]
  }

  #makeEmbedded(): EmbeddedBroker | undefined {
    const { mqtt } = this.#config
    if (!mqtt.useEmbedded) return undefined
    return new EmbeddedBroker(mqtt.embedded, {
      logger: this.#deps.log('embedded'),
      clock: this.#deps.clock,
      bridgeClientId: mqtt.clientId,
    })
  }

  #makeMqtt(): MqttSide {
    const embedded = this.#embedded
    const { mqtt } = this.#config
    const handler: MqttSideHandler = {
      isAccepting: () => this.#flows.toNats.accepting,
      onMessage: (view) => this.#flows.toNats.onMessage(view),
      onOversize: (view, length) => this.#flows.toNats.onOversize(view, length),
      onBatchEnd: () => this.#flows.toNats.onBatchEnd(),
      onAcknowledged: (slot, refusal) => this.#flows.toMqtt.tracked.onAcknowledged(slot, refusal),
      onAcknowledgementsEnd: () => this.#flows.toMqtt.onAcknowledgementsEnd(),
      onDrain: () => this.#flows.toMqtt.onDrain(),
      onUp: (facts) => this.#flows.toMqtt.onMqttUp(facts.receiveMaximum),
      onDown: () => this.#flows.toMqtt.onMqttDown(),
      subscriptions: (facts) => this.#filters(facts),
    }
    // the embedded broker speaks 3.1.1 only
    const config = embedded === undefined ? mqtt : { ...mqtt, protocolVersion: 4 as const }
    return new MqttSide(config, {
      logger: this.#deps.log('mqtt'),
      clock: this.#deps.clock,
      report: this.#links.mqtt,
      handler,
      ...(embedded === undefined ? {} : { dialLocal: () => embedded.dialLocal() }),
    })
  }

  #makeNats(): NatsSide {
    const handler: NatsSideHandler = {
      onAnswer: (slot, refusal) => this.#flows.toNats.tracked.onAnswer(slot, refusal),
      onPong: (position) => this.#flows.toNats.tracked.onPong(position),
      onLive: (view, subscription) => this.#flows.toMqtt.onLive(view, subscription),
      onStream: (view, position, route) => this.#flows.toMqtt.onStream(view, position, route),
      onBatchEnd: () => {
        this.#flows.toNats.onAnswersEnd()
        this.#flows.toMqtt.onBatchEnd()
      },
      onDrain: () => this.#flows.toNats.onDrain(),
      room: () => this.#flows.toMqtt.room,
      onDenied: (subject) => this.#flows.toNats.onDenied(subject),
      onDown: () => this.#flows.toNats.onNatsDown(),
      onStreams: (streams) => this.#flows.onStreams(streams),
    }
    return new NatsSide(this.#config.nats, {
      logger: this.#deps.log('nats'),
      clock: this.#deps.clock,
      report: this.#links.nats,
      handler,
      origin: originOf(this.#config.mqtt.clientId),
      token: randomBytes(8).toString('hex'),
    })
  }

  #makeFlows(): Flows<NatsTarget, MqttTarget> {
    const table = this.#table
    const { routes } = this.#config
    return new Flows({
      config: this.#config,
      clock: this.#deps.clock,
      logger: this.#deps.log('delivery'),
      names: {
        resolve: (direction, name) => table.resolve(direction, name),
        ownerOf: (direction, name) =>
          table.overlapping(direction) ? table.ownerOf(direction, name) + 1 : 0,
        matches: matchSubject,
        covers: wildcardCovers,
        intersect: wildcardsIntersect,
        wildcardsOf: (route) => table.wildcardsOf(route),
        wildcards: table.subscriptions('natsToMqtt').map(({ address }) => address),
      },
      mqtt: this.#mqtt,
      nats: {
        source: this.#nats.source,
        sink: this.#nats.sink,
        read: (readings) => this.#nats.read(readings, routes, this.#config.mqtt.clientId),
        lookAtStreams: () => this.#nats.lookAtStreams(),
      },
    })
  }

  /** Copies of one message for overlapping filters are told apart by identifiers, or never asked for. */
  #filters(facts: MqttLinkFacts) {
    const table = this.#table
    const distinct = table.overlapping('mqttToNats') && facts.subscriptionIdentifiersAvailable
    const list =
      table.overlapping('mqttToNats') && !distinct
        ? table.disjointSubscriptions()
        : table.subscriptions('mqttToNats')
    return list.map(({ address, qos }, index) => ({
      filter: address,
      // QoS 2 is served as 1
      qos: qos === 0 ? (0 as const) : (1 as const),
      ...(distinct ? { subscriptionId: index + 1 } : {}),
    }))
  }
}

/** Name of a bridge in `Mqtt-Origin`: short, and the same after a restart. */
function originOf(clientId: string): string {
  if (/^[A-Za-z0-9_-]{1,23}$/.test(clientId)) return clientId
  return createHash('sha256').update(clientId).digest('base64url').slice(0, 12)
}

function moment(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
