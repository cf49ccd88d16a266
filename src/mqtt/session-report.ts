import type { BridgeError } from '../core/errors.ts'
import type { Clock, LinkReport, LinkState, Logger } from '../core/ports.ts'
import type { Channel } from './channel.ts'
import { type Dialect, protocolName } from './dialects.ts'
import { FailureLog } from './failure-log.ts'
import type { MqttLinkFacts } from './link-facts.ts'
import type { SubscribeResult } from './subscriptions.ts'

/** Puts what happens to the session into its {@link LinkReport} and into the log. */
export class SessionReport {
  readonly #report: LinkReport
  readonly #logger: Logger
  readonly #clock: Clock
  readonly #failureLog: FailureLog
  readonly #granted = new Set<string>()

  constructor(report: LinkReport, logger: Logger, clock: Clock) {
    this.#report = report
    this.#logger = logger
    this.#clock = clock
    this.#failureLog = new FailureLog(logger, clock)
  }

  /** Moves the link to a state. */
  enter(state: LinkState): void {
    if (this.#report.state === state) return
    this.#report.state = state
    this.#report.since = this.#clock.now()
  }

  connecting(server: string, dialect: Dialect): void {
    this.#report.server = server
    this.#report.protocol = protocolName(dialect)
    // The last failure says more than that the next attempt runs.
    if (this.#report.reasons.length === 0) this.#report.reasons = [`connecting to '${server}'`]
    this.enter('connecting')
  }

  up(facts: MqttLinkFacts, channel: Channel): void {
    const report = this.#report
    const { tlsVersion, certNotAfter } = channel.facts
    report.tlsVersion = tlsVersion
    report.serverCertNotAfter = certNotAfter
    report.connects++
    if (report.connects > 1) report.reconnects++
    report.reasons = []
    this.enter('connected')
    this.#failureLog.clear()
    this.#logger.info(
      { ...facts, protocol: report.protocol, tlsVersion },
      'connected to the broker',
    )
  }

  /** A connection that was up has ended. */
  lost(error: BridgeError): void {
    this.#report.disconnects++
    this.#report.subscriptions = 0
    this.#granted.clear()
    this.#fail(error)
    this.#failureLog.failed(error, 'connection to the broker lost')
  }

  /** The connection has ended because we wanted it to. */
  left(): void {
    this.#report.disconnects++
    this.#report.subscriptions = 0
    this.#granted.clear()
    this.#logger.info({ server: this.#report.server }, 'disconnected from the broker')
  }

  /** An attempt did not lead to a connection. */
  failed(error: BridgeError): void {
    this.#fail(error)
    this.#failureLog.failed(error, 'connecting to the broker failed')
  }

  fallingBack(server: string, refused: Dialect, next: Dialect): void {
    const facts = { refused: protocolName(refused), next: protocolName(next) }
    this.#logger.info(
      { server, ...facts, bridgeMode: next.bridgeMode },
      'broker does not take this MQTT version, falling back',
    )
  }

  subscribed({ granted }: SubscribeResult): void {
    for (const { filter, asked, qos } of granted) {
      this.#granted.add(filter)
      if (qos >= asked) continue
      this.#logger.warn({ filter, asked, granted: qos }, 'broker granted a lower QoS')
    }
    this.#report.subscriptions = this.#granted.size
  }

  /** The broker did not take every filter; whoever asked logs it. */
  subscribeRefused(error: BridgeError): void {
    this.#fail(error)
  }

  unsubscribed(filters: readonly string[]): void {
    for (const filter of filters) this.#granted.delete(filter)
    this.#report.subscriptions = this.#granted.size
  }

  pingAnswered(seconds: number): void {
    this.#report.rtt = seconds
  }

  #fail(error: BridgeError): void {
    if (error.code === 'MQTT_AUTH') this.#report.authErrors++
    this.#report.fail(error, this.#clock.now())
    this.#report.reasons = [`${error.message}: ${error.hint}`]
  }
}
