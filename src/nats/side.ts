import type { NatsConfig, RouteConfig } from '../core/config.ts'
import { BridgeError, type ErrorCode, toBridgeError } from '../core/errors.ts'
import type { Clock, LinkReport, Logger, Part } from '../core/ports.ts'
import { consumerName } from './consumer-names.ts'
import type { NatsHandler } from './handler.ts'
import { HeaderReader } from './headers.ts'
import type { NatsLinkFacts } from './link.ts'
import { NatsSession } from './session.ts'
import { NatsSink } from './sink.ts'
import { NatsSource } from './source.ts'
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
/** How soon after they could not be learnt. */
const LOOK_AFTER_FAILURE_MS = 2_000

/** Without JetStream, or without the right to ask for the streams, the bridge runs on core NATS alone and says so. */
const CORE_ONLY: ReadonlySet<ErrorCode> = new Set(['NATS_NO_JETSTREAM', 'NATS_PERMISSION'])

/** How long streams that were known may be silent before the bridge goes on without them, milliseconds. */
const BELIEVED_GONE_MS = 30_000

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
  /** Whether the server of this connection has JetStream itself. */
  #jetstream = false
  /** The last failure to learn the streams, said once. */
  #said = ''
  /** JetStream was not there when last asked. */
  #without = false
  /** Since when the streams that were known do not answer, monotonic milliseconds; 0 = they do, -1 = there were none. */
  #absentSince = -1
  #looking = false
  /** There is a reason to look again soon. */
  #soon = false
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
      onStreamsChanged: () => this.lookAtStreams(),
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
    // one that is due soon is not put off by further reasons
    if (!this.#soon && !this.#looking) this.#schedule(LOOK_SOON_MS)
    this.#soon = true
  }

  tick(): void {
    this.source.tick()
    this.#deps.report.subscriptions = this.source.subscriptions
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
    this.#jetstream = facts.jetstream
    this.#streamsReason = 'asking for the streams'
    this.source.attach(this.#tap)
    // what was there before the connection broke need not wait for an answer that will not come
    if (this.#without) this.#tell([])
    this.#look()
  }

  #down(): void {
    this.sink.up = false
    this.#deps.report.subscriptions = 0
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
    this.#soon = false
    const tap = this.#tap
    this.#learn()
      .then((reason) => {
        if (this.#tap === tap) this.#streamsReason = reason
      })
      .catch((error: unknown) => this.#deps.logger.failure(toBridgeError(error), 'streams failed'))
      .finally(() => {
        this.#looking = false
        if (this.#tap === tap) this.#schedule(this.#nextLook())
        else this.#look()
      })
      .catch((error: unknown) =>
        this.#deps.logger.failure(toBridgeError(error), 'streams failed', 'error'),
      )
  }

  #nextLook(): number {
    if (this.#soon) return LOOK_SOON_MS
    return this.#streamsReason === '' ? LOOK_AGAIN_MS : LOOK_AFTER_FAILURE_MS
  }

  /** Asks for the streams and tells them. Resolves to why they are not known. */
  async #learn(): Promise<string> {
    const tap = this.#tap
    let streams: readonly StreamFacts[] = []
    let failure: BridgeError | undefined
    try {
      streams = await this.#list()
    } catch (error) {
      failure = toBridgeError(error, 'NATS_NO_JETSTREAM')
    }
    if (this.#tap !== tap || !this.sink.up) return this.#streamsReason
    this.#say(failure)
    if (failure === undefined) this.#absentSince = streams.length > 0 ? 0 : -1
    else if (!this.#isWithout(failure)) return `${failure.message}: ${failure.hint}`
    this.#without = failure !== undefined
    this.#tell(streams)
    // ready only when the server has the subscriptions that follow from it
    await this.#session.rtt()
    return ''
  }

  /**
   * Whether a failure to learn the streams means that there are none for us. Where there were some, a moment
   * without an answer is a restart somewhere: what waits for a stream is not settled without it.
   */
  #isWithout(failure: BridgeError): boolean {
    if (!CORE_ONLY.has(failure.code)) return false
    if (this.#absentSince < 0) return true
    const now = this.#deps.clock.monotonic()
    if (this.#absentSince === 0) this.#absentSince = now
    return now - this.#absentSince > BELIEVED_GONE_MS
  }

  /**
   * A server does not say that nobody answers while anybody, we too, listens to everything: then it is silence
   * that has to be read.
   */
  async #list(): Promise<readonly StreamFacts[]> {
    try {
      return await listStreams(this.api)
    } catch (error) {
      const failure = toBridgeError(error)
      if (failure.code !== 'CONNECT_TIMEOUT') throw failure
      if (this.#without || !this.#jetstream) {
        const text = 'asking for the streams: JetStream does not answer'
        throw new BridgeError(text, { code: 'NATS_NO_JETSTREAM', cause: error })
      }
      // answered also for an account that may not use it
      await this.api('INFO', {})
      throw failure
    }
  }

  #tell(streams: readonly StreamFacts[]): void {
    const known = JSON.stringify(streams)
    if (known === this.#known || !this.sink.up) return
    this.#known = known
    this.#deps.handler.onStreams(streams)
  }

  #say(failure: BridgeError | undefined): void {
    const text = failure?.message ?? ''
    if (failure !== undefined && text !== this.#said) {
      const message = CORE_ONLY.has(failure.code) ? 'running without streams' : 'streams not known'
      this.#deps.logger.failure(failure, message)
    }
    this.#said = text
  }
}
