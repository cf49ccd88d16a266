import type { Duplex } from 'node:stream'
import { Backoff } from '../core/backoff.ts'
import type { MqttConfig } from '../core/config.ts'
import { BridgeError, toBridgeError } from '../core/errors.ts'
import type { Clock, LinkReport, Logger, Part } from '../core/ports.ts'
import type { Channel } from './channel.ts'
import { Connection, type ConnectionEnd, type ConnectionSetup } from './connection.ts'
import { type Dialect, Dialects } from './dialects.ts'
import { subscribeError } from './errors.ts'
import type { MqttLinkFacts } from './link-facts.ts'
import { clientOptions, type Endpoint, parseEndpoint, tlsOptions, usesTls } from './options.ts'
import { SessionReport } from './session-report.ts'
import { StreamChannel } from './stream-channel.ts'
import { type Subscription, subscribeAt, unsubscribeAt } from './subscriptions.ts'
import { TcpChannel } from './tcp-channel.ts'
import { WsChannel } from './ws-channel.ts'

/** Ids above belong to the message lane. */
const LIBRARY_PACKET_IDS = { first: 1, last: 255 } as const
/** A WebSocket message may hold several packets, or one that is too large and must be counted all the same. */
const MIN_WS_PAYLOAD = 16 * 1024 * 1024

/** The message lane, as the session needs it. */
export interface MqttSessionHost {
  /**
   * Called once per connection, with the channel already open and nothing read: sets `onChunk`, `onDrain` and
   * `onClose`, and returns the stream that the session packets go through.
   */
  wrap(channel: Channel): Duplex
  /** The broker accepted us. Called while CONNACK is read, before the bytes after it. */
  up(facts: MqttLinkFacts): void
  /** The end of what `up` began; SHUTTING_DOWN when it was our wish. */
  down(error: BridgeError): void
}

/** The broker within the process, as an endpoint. */
const LOCAL: Endpoint = { transport: 'mqtt', host: '', port: 0, server: 'embedded', path: '/' }

/** What a session is given. */
export interface MqttSessionDeps {
  readonly logger: Logger
  readonly clock: Clock
  readonly report: LinkReport
  readonly host: MqttSessionHost
  /** Greatest topic alias the message lane resolves; 0 = none announced. */
  readonly topicAliasMaximum: number
  /** The ids for SUBSCRIBE and UNSUBSCRIBE; 1 to 255 unless given. */
  readonly packetIds?: { readonly first: number; readonly last: number }
  /** Opens a byte stream to the broker within the process, which is then the only one dialled. */
  readonly dialLocal?: () => Duplex
}

/**
 * The lasting connection to the broker: dials for ever, one URL after the other, and makes every attempt
 * from scratch, so that it reads secrets and certificates anew and speaks the best dialect the server takes.
 */
export class MqttSession implements Part {
  readonly #config: MqttConfig
  readonly #deps: MqttSessionDeps
  readonly #dialects: Dialects
  readonly #backoff: Backoff
  readonly #report: SessionReport
  #connection: Connection | undefined
  #upSince: number | undefined
  #running: Promise<void> | undefined
  #stopping = false
  #retryNow = false
  #wake: () => void = () => undefined

  constructor(config: MqttConfig, deps: MqttSessionDeps) {
    this.#config = config
    this.#deps = deps
    this.#dialects = new Dialects(config.protocolVersion)
    this.#backoff = new Backoff(() => deps.clock.random())
    this.#report = new SessionReport(deps.report, deps.logger, deps.clock)
  }

  /**
   * Begins to dial and returns; a broker that is away is no failure. Rejects with `BridgeError` CONFIG_INVALID
   * when there is no usable URL.
   */
  start(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#running === undefined && !this.#stopping)
        this.#running = this.#run(this.#endpoints())
      resolve()
    })
  }

  /** Sends DISCONNECT and closes; the session stays with the broker. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#wake()
    this.#connection?.leave()
    await this.#running
    this.#report.enter('stopped')
  }

  /**
   * Subscribes on this connection. Resolves when the broker took every filter; rejects with `BridgeError`
   * MQTT_SUBSCRIBE_REFUSED, naming those it refused (the others stand), or LINK_LOST.
   */
  async subscribe(filters: readonly Subscription[]): Promise<void> {
    if (filters.length === 0) return
    const { client, facts } = await this.#usable('subscribing')
    const result = await subscribeAt(client, facts, filters)
    this.#report.subscribed(result)
    if (result.refused.length === 0) return
    const error = subscribeError(facts.server, result.refused)
    this.#report.subscribeRefused(error)
    throw error
  }

  /** Ends subscriptions on this connection. Rejects with `BridgeError` LINK_LOST. */
  async unsubscribe(filters: readonly string[]): Promise<void> {
    if (filters.length === 0) return
    const { client, facts } = await this.#usable('unsubscribing')
    await unsubscribeAt(client, facts, filters)
    this.#report.unsubscribed(filters)
  }

  /**
   * Keeps the connection up while the message lane holds reading, which also holds back the answers to pings:
   * to be called more often than every half keepalive for as long as that lasts.
   */
  keepAlive(): void {
    this.#connection?.keepAlive()
  }

  /** Drops this connection, for this reason, and dials again after the usual wait. */
  recycle(error: BridgeError): void {
    this.#connection?.abort(error)
  }

  /** Dials without waiting, once: something changed that may help, such as a secret. */
  retryNow(): void {
    this.#retryNow = this.#upSince === undefined
    this.#wake()
  }

  #endpoints(): readonly Endpoint[] {
    if (this.#deps.dialLocal !== undefined) return [LOCAL]
    if (this.#config.urls.length > 0) return this.#config.urls.map(parseEndpoint)
    throw new BridgeError('connecting to the broker: no URL', { code: 'CONFIG_INVALID' })
  }

  async #run(endpoints: readonly Endpoint[]): Promise<void> {
    let at = 0
    while (!this.#stopping) {
      // One round: every URL once, until one had us.
      for (let tried = 0; tried < endpoints.length && !this.#stopping; tried++) {
        const endpoint = endpoints[at]
        if (endpoint === undefined || (await this.#attempt(endpoint))) break
        at = (at + 1) % endpoints.length
      }
      if (!this.#stopping) await this.#wait()
    }
  }

  /** Dials one server, and again at once in the next dialect while it refuses them. True when it was up. */
  async #attempt(endpoint: Endpoint): Promise<boolean> {
    while (!this.#stopping) {
      const dialect = this.#dialects.choose(endpoint.server, this.#deps.clock.now())
      const end = await this.#connect(endpoint, dialect)
      const upSince = this.#upSince
      this.#upSince = undefined
      if (upSince !== undefined) {
        this.#lost(end.error, this.#deps.clock.monotonic() - upSince)
        return true
      }
      if (this.#stopping) return false
      if (!this.#fallsBack(endpoint.server, dialect, end)) {
        this.#report.failed(end.error)
        return false
      }
    }
    return false
  }

  #connect(endpoint: Endpoint, dialect: Dialect): Promise<ConnectionEnd> {
    this.#report.connecting(endpoint.server, dialect)
    return new Promise((resolve) => {
      const ended = (end: ConnectionEnd) => {
        this.#connection = undefined
        resolve(end)
      }
      try {
        this.#connection = new Connection(this.#setup(endpoint, dialect, ended))
        this.#connection.open()
      } catch (thrown) {
        ended({ error: toBridgeError(thrown), versionRefused: false, silent: false })
      }
    })
  }

  #setup(
    endpoint: Endpoint,
    dialect: Dialect,
    ended: (end: ConnectionEnd) => void,
  ): ConnectionSetup {
    const { clock, host, topicAliasMaximum, packetIds = LIBRARY_PACKET_IDS } = this.#deps
    const channel = this.#channel(endpoint)
    return {
      channel,
      dialect,
      options: clientOptions(this.#config, { dialect, topicAliasMaximum, packetIds }),
      connectTimeout: this.#config.connectTimeout,
      clock,
      wrap: (open) => host.wrap(open),
      up: (facts) => this.#up(facts, channel),
      ended,
      rtt: (seconds) => this.#report.pingAnswered(seconds),
    }
  }

  #channel(endpoint: Endpoint): Channel {
    const { dialLocal } = this.#deps
    if (dialLocal !== undefined) return new StreamChannel(endpoint.server, dialLocal)
    const tls = usesTls(endpoint) ? tlsOptions(this.#config.tls, endpoint.host) : undefined
    if (endpoint.transport === 'mqtt' || endpoint.transport === 'mqtts') {
      return new TcpChannel(endpoint, tls)
    }
    const maxPayload = Math.max(MIN_WS_PAYLOAD, 2 * this.#config.maxPacketSize)
    return new WsChannel(endpoint, maxPayload, tls)
  }

  #up(facts: MqttLinkFacts, channel: Channel): void {
    this.#dialects.accepted(facts.server)
    this.#upSince = this.#deps.clock.monotonic()
    this.#retryNow = false
    this.#report.up(facts, channel)
    this.#deps.host.up(facts)
  }

  #lost(error: BridgeError, upFor: number): void {
    this.#backoff.ended(upFor)
    try {
      this.#deps.host.down(error)
    } catch (thrown) {
      this.#report.failed(toBridgeError(thrown))
    }
    if (this.#stopping) this.#report.left()
    else this.#report.lost(error)
  }

  #fallsBack(server: string, refused: Dialect, end: ConnectionEnd): boolean {
    const now = this.#deps.clock.now()
    const another =
      (end.versionRefused && this.#dialects.refused(server, now)) ||
      (end.silent && this.#dialects.silentlyClosed(server, now))
    if (another) this.#report.fallingBack(server, refused, this.#dialects.choose(server, now))
    return another
  }

  async #usable(action: string) {
    const usable = await this.#connection?.whenUsable()
    if (usable !== undefined) return usable
    throw new BridgeError(`${action}: not connected to a broker`, { code: 'LINK_LOST' })
  }

  async #wait(): Promise<void> {
    const delay = this.#backoff.next()
    if (this.#retryNow) {
      this.#retryNow = false
      return
    }
    this.#report.enter('waiting')
    await new Promise<void>((resolve) => {
      const cancel = this.#deps.clock.after(delay, () => this.#wake())
      this.#wake = () => {
        this.#wake = () => undefined
        cancel()
        resolve()
      }
    })
    this.#retryNow = false
  }
}
