import type { NatsConfig, RouteConfig } from '../core/config.ts'
import { toBridgeError } from '../core/errors.ts'
import type { Clock, LinkReport, Logger, Part } from '../core/ports.ts'
import { consumerName } from './consumer.ts'
import { HeaderReader } from './headers.ts'
import type { NatsLinkFacts } from './link.ts'
import { NatsSession } from './session.ts'
import { NatsSink } from './sink.ts'
import { type NatsHandler, NatsSource } from './source.ts'
import { type ApiRequest, jetStreamApi, listStreams, type StreamFacts } from './streams.ts'
import { NatsTap } from './tap.ts'

/** What one durable consumer is to read. */
export interface Reading {
  readonly stream: string
  /** Index of the route. */
  readonly route: number
  readonly filters: readonly string[]
}

/** How often the list of streams is looked at without a reason, milliseconds. */
const LOOK_AGAIN_MS = 30_000
/** How soon after a reason, at the earliest. */
const LOOK_SOON_MS = 500

/** What the NATS side tells its owner, besides messages. */
export interface NatsSideHandler extends NatsHandler {
  onDown(): void
  /** Connected, and the streams are known; called on every connection, and when they changed. */
  onStreams(streams: readonly StreamFacts[]): void
}

export interface NatsSideDeps {
  readonly logger: Logger
  readonly clock: Clock
  readonly report: LinkReport
  readonly handler: NatsSideHandler
  /** Name of this bridge in `Mqtt-Origin`. */
  readonly origin: string
  /** A subject token nobody else uses, for the answers meant for this process. */
  readonly token: string
}

/** Everything of the NATS side: the session, and on each connection of it a tap between our source and sink. */
export class NatsSide implements Part {
  readonly sink: NatsSink
  readonly source: NatsSource
  readonly api: ApiRequest
  readonly #deps: NatsSideDeps
  readonly #session: NatsSession
  #tap: NatsTap | undefined
  /** Why the streams are not known; empty when they are. */
  #streamsReason = 'asking for the streams'
  #known = ''
  #looking = false
  #lookAgain: () => void = () => undefined

  constructor(config: NatsConfig, deps: NatsSideDeps) {
    this.#deps = deps
    this.#session = new NatsSession(config, {
      logger: deps.logger,
      clock: deps.clock,
      report: deps.report,
      host: {
        transport: () => this.#transport(),
        up: (facts) => this.#up(facts),
        down: () => this.#down(),
        serverError: (error) => deps.logger.failure(error, 'complaint of the server'),
        lameDuck: () => undefined,
      },
    })
    const prefix = this.#session.inboxPrefix
    this.sink = new NatsSink(`${prefix}.${deps.token}`, deps.origin)
    this.api = jetStreamApi((subject, payload, timeout) =>
      this.#session.request(subject, payload, timeout),
    )
    this.source = new NatsSource({
      sink: this.sink,
      headers: new HeaderReader(deps.origin),
      api: this.api,
      clock: deps.clock,
      logger: deps.logger,
      inbox: `${prefix}.${deps.token}c`,
      windowBytes: config.windowBytes,
      handler: deps.handler,
    })
  }

  start(): Promise<void> {
    return this.#session.start()
  }

  async stop(): Promise<void> {
    this.#lookAgain()
    await this.#session.stop()
  }

  /** Dials without waiting, once: a secret changed. */
  retryNow(): void {
    this.#session.retryNow()
  }

  /** Resolves when the server has worked off everything written so far. */
  async flush(): Promise<void> {
    if (this.sink.up) await this.#session.rtt()
  }

  /** Why the side cannot deliver everything although connected. */
  get reasons(): string[] {
    if (!this.sink.up) return []
    return [...(this.#streamsReason === '' ? [] : [this.#streamsReason]), ...this.source.reasons]
  }

  /** Sets what durable consumers read; they are named after bridge and route. */
  read(readings: readonly Reading[], routes: readonly RouteConfig[], bridge: string): void {
    const plans = readings.flatMap(({ stream, route, filters }) => {
      const config = routes[route]
      if (config === undefined) return []
      const { name, startAt } = config
      return [{ stream, route, filters, startAt, name: consumerName(bridge, name) }]
    })
    this.source.consume(plans)
  }

  /** Asks for the streams soon: something says they have changed. */
  lookAtStreams(): void {
    this.#schedule(LOOK_SOON_MS)
  }

  tick(): void {
    this.source.tick()
  }

  #transport(): NatsTap {
    const tap = new NatsTap(this.source)
    this.#tap = tap
    return tap
  }

  #up(facts: NatsLinkFacts): void {
    this.sink.serverMaxPayload = facts.maxPayload
    this.sink.attach(this.#tap)
    this.sink.up = true
    this.#known = ''
    this.source.attach(this.#tap)
    this.#look()
  }

  #down(): void {
    this.sink.up = false
    this.sink.attach(undefined)
    this.source.attach(undefined)
    this.#lookAgain()
    this.#deps.handler.onDown()
  }

  #schedule(pause: number): void {
    this.#lookAgain()
    this.#lookAgain = this.#deps.clock.after(pause, () => this.#look())
  }

  #look(): void {
    if (this.#looking || !this.sink.up) return
    this.#looking = true
    const tap = this.#tap
    listStreams(this.api)
      .then((streams) => {
        this.#streamsReason = ''
        this.#tell(streams)
      })
      .catch((error: unknown) => this.#unknown(error))
      .finally(() => {
        this.#looking = false
        if (this.#tap === tap) this.#schedule(this.#streamsReason === '' ? LOOK_AGAIN_MS : 2_000)
        else this.#look()
      })
      .catch((error: unknown) =>
        this.#deps.logger.failure(toBridgeError(error), 'streams failed', 'error'),
      )
  }

  #tell(streams: readonly StreamFacts[]): void {
    const known = JSON.stringify(streams)
    if (known === this.#known || !this.sink.up) return
    this.#known = known
    this.#deps.handler.onStreams(streams)
  }

  /** Without JetStream, or without the right to ask, the bridge runs on core NATS alone and says so. */
  #unknown(error: unknown): void {
    const failure = toBridgeError(error, 'NATS_NO_JETSTREAM')
    const before = this.#streamsReason
    this.#streamsReason = `${failure.message}: ${failure.hint}`
    if (!this.sink.up || failure.code === 'LINK_LOST') return
    if (before !== this.#streamsReason) this.#deps.logger.failure(failure, 'streams not known')
    if (failure.code === 'NATS_NO_JETSTREAM') this.#tell([])
  }
}
