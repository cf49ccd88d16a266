import type { BridgeError, ErrorCode } from '../core/errors.ts'
import type { Clock, LinkReport, LinkState, Logger } from '../core/ports.ts'
import { RateLimited } from '../core/rate-limited.ts'
import type { NatsLink } from './link.ts'

/** The same failure is logged once in this many milliseconds. */
const REPEAT_AFTER = 60_000

/** Failures that count as refused credentials. */
const AUTH_ERRORS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'NATS_AUTH',
  'NATS_REVOKED',
  'NATS_ACCOUNT_EXPIRED',
  'NATS_JWT_EXPIRED',
  'NATS_JWT_NOT_YET_VALID',
  'NATS_JWT_ACCOUNT',
  'NATS_JWT_CONNECTION_TYPE',
  'NATS_JWT_NEEDS_SEED',
  'NATS_JWT_MALFORMED',
])

/** Puts what happens to the session into its {@link LinkReport} and into the log. */
export class SessionReport {
  readonly #report: LinkReport
  readonly #logger: Logger
  readonly #clock: Clock
  readonly #repeats: RateLimited

  constructor(report: LinkReport, logger: Logger, clock: Clock) {
    this.#report = report
    this.#logger = logger
    this.#clock = clock
    this.#repeats = new RateLimited(clock)
  }

  /** Moves the link to a state. */
  enter(state: LinkState): void {
    if (this.#report.state === state) return
    this.#report.state = state
    this.#report.since = this.#clock.now()
  }

  connecting(server: string): void {
    this.#report.server = server
    this.#report.protocol = 'NATS'
    // the last failure says more than that the next attempt runs
    if (this.#report.reasons.length === 0) this.#report.reasons = [`connecting to '${server}'`]
    this.enter('connecting')
  }

  up(link: NatsLink): void {
    const report = this.#report
    const { facts, tlsFacts } = link
    report.serverVersion = facts.version
    report.tlsVersion = tlsFacts.version
    report.serverCertNotAfter = tlsFacts.certNotAfter
    report.connects++
    if (report.connects > 1) report.reconnects++
    report.reasons = []
    this.enter('connected')
    this.#repeats.flush()
    this.#logger.info({ ...facts, tlsVersion: tlsFacts.version }, 'connected to the NATS server')
  }

  /** A connection that was up has ended. */
  lost(error: BridgeError): void {
    this.#report.disconnects++
    this.#report.rtt = 0
    this.#fail(error)
    this.#log(error, 'connection to the NATS server lost')
  }

  /** The connection has ended because we wanted it to. */
  left(): void {
    this.#report.disconnects++
    this.#report.rtt = 0
    this.#logger.info({ server: this.#report.server }, 'disconnected from the NATS server')
  }

  /** An attempt did not lead to a connection. */
  failed(error: BridgeError): void {
    this.#fail(error)
    this.#log(error, 'connecting to the NATS server failed')
  }

  lameDuck(server: string): void {
    this.#logger.info({ server }, 'NATS server is about to shut down')
  }

  pingAnswered(seconds: number): void {
    this.#report.rtt = seconds
  }

  /** Says what was held back; nothing is said later. */
  close(): void {
    this.#repeats.flush()
  }

  #fail(error: BridgeError): void {
    const report = this.#report
    report.fail(error, this.#clock.now())
    if (AUTH_ERRORS.has(error.code)) report.authErrors++
    report.reasons = [`${error.message}: ${error.hint}`]
  }

  #log(error: BridgeError, message: string): void {
    this.#repeats.once(`${error.code} ${error.message}`, REPEAT_AFTER, (count) => {
      if (count === 1) {
        this.#logger.failure(error, message)
        return
      }
      const fields = { code: error.code, error: error.message, hint: error.hint, repeated: count }
      this.#logger.warn(fields, `${message} again`)
    })
  }
}
