import { Backoff } from '../core/backoff.ts'
import type { NatsConfig } from '../core/config.ts'
import { BridgeError, toBridgeError } from '../core/errors.ts'
import type { Clock, LinkReport, Logger, Part } from '../core/ports.ts'
import type { ServerComplaint } from './errors.ts'
import { Heartbeat } from './heartbeat.ts'
import { NatsLink, type NatsLinkFacts } from './link.ts'
import { explainRefusal, type Login, readLogin } from './login.ts'
import { connectionOptions, INBOX_PREFIX } from './options.ts'
import { Pause } from './pause.ts'
import { type ServerAddress, ServerPool } from './servers.ts'
import { SessionReport } from './session-report.ts'
import type { SessionTransport } from './session-transport.ts'
import { explainHandshake } from './tls-probe.ts'

/** A connection that lasted this long, milliseconds, is replaced at once; a shorter one after a wait. */
const SETTLED = 5_000
/** Milliseconds between looks at the secrets while waiting for the next attempt. */
const LOOK = 1_000
/** Milliseconds the host has after the server announced its end before the session moves. */
const LAME_DUCK_TIME = 2_000
/** Milliseconds that stopping may take. */
const STOP_TIME = 2_000

/** What the session needs from its owner, and tells it. */
export interface NatsSessionHost {
  /** Makes the transport of one attempt. */
  transport(): SessionTransport
  /** Connected and logged in. */
  up(facts: NatsLinkFacts): void
  /** A connection that was up has ended. */
  down(error: BridgeError): void
  /** The server complains without ending the connection, for example about a subject that is not permitted. */
  serverError(
    error: BridgeError,
    detail: { operation?: 'publish' | 'subscription'; subject?: string },
  ): void
  /** The server is about to shut down; 2 s later the session moves, when there is another server. */
  lameDuck(): void
}

export interface NatsSessionDeps {
  readonly logger: Logger
  readonly clock: Clock
  readonly report: LinkReport
  readonly host: NatsSessionHost
}

/**
 * Keeps one connection to NATS for ever: dials the servers in turn, logs in with the secrets as they are at
 * that moment, notices a peer that is gone, and begins again, also after refused logins. While it waits it
 * looks at the secrets once a second, so that a replaced file heals a refused login without a restart.
 */
export class NatsSession implements Part {
  /** Prefix of the subjects answers to requests come on. */
  readonly inboxPrefix = INBOX_PREFIX
  readonly #config: NatsConfig
  readonly #clock: Clock
  readonly #host: NatsSessionHost
  readonly #report: SessionReport
  readonly #pool: ServerPool
  readonly #backoff: Backoff
  readonly #pause: Pause
  #loop: Promise<void> | undefined
  #stopping: Promise<void> | undefined
  /** Connected. */
  #link: NatsLink | undefined
  /** Connected or on the way there. */
  #current: NatsLink | undefined
  /** User JWT of the last login that was accepted. */
  #workedJwt: string | undefined
  #fingerprint = ''

  constructor(config: NatsConfig, { logger, clock, report, host }: NatsSessionDeps) {
    this.#config = config
    this.#clock = clock
    this.#host = host
    this.#report = new SessionReport(report, logger, clock)
    this.#pool = new ServerPool(config.servers)
    this.#backoff = new Backoff(() => clock.random())
    this.#pause = new Pause(clock)
  }

  /** Begins to dial and returns; that a server is away is no failure. */
  start(): Promise<void> {
    if (this.#stopping === undefined) this.#loop ??= this.#run()
    return Promise.resolve()
  }

  /** Lets the server take what is written and disconnects; at most 2 s. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  /**
   * Sends a request and resolves to the payload of the answer.
   *
   * @throws BridgeError LINK_LOST when there is no connection, CONNECT_TIMEOUT when no answer comes,
   *   NATS_NO_JETSTREAM when nobody listens there, NATS_PERMISSION when it is not allowed
   */
  async request(
    subject: string,
    payload: Uint8Array | string,
    timeoutMs: number,
  ): Promise<Uint8Array> {
    return await this.#connected(`requesting '${subject}'`).request(subject, payload, timeoutMs)
  }

  /** Milliseconds a PING takes now. Throws LINK_LOST when there is no connection, or it ends meanwhile. */
  async rtt(): Promise<number> {
    const link = this.#connected('pinging')
    const from = this.#clock.monotonic()
    try {
      await link.ping()
    } catch (error) {
      throw new BridgeError('pinging: connection lost', { code: 'LINK_LOST', cause: error })
    }
    const took = this.#clock.monotonic() - from
    this.#report.pingAnswered(took / 1000)
    return took
  }

  /** Ends the present connection for that reason and makes another one. */
  recycle(error: BridgeError): void {
    this.#link?.end(error)
  }

  /** Ends a wait for the next attempt, for example because the configuration was read anew. */
  retryNow(): void {
    this.#pause.wake()
  }

  async #stop(): Promise<void> {
    const reason = leaving()
    if (this.#link === undefined) this.#current?.end(reason)
    this.#pause.wake()
    const cut = this.#clock.after(STOP_TIME, () => this.#current?.end(reason))
    await this.#link?.close(reason)
    await this.#loop
    cut()
    this.#report.enter('stopped')
    this.#report.close()
  }

  get #stopped(): boolean {
    return this.#stopping !== undefined
  }

  async #run(): Promise<void> {
    // the caller of start() goes on first
    await Promise.resolve()
    while (!this.#stopped) {
      const calm = await this.#once().catch((thrown: unknown) => this.#broken(thrown))
      if (!calm && !this.#stopped) await this.#wait(this.#backoff.next())
    }
  }

  /** One round and, when it led to a connection, the life of that. Resolves to true when the next may follow at once. */
  async #once(): Promise<boolean> {
    const link = await this.#round()
    return link === undefined ? false : await this.#hold(link)
  }

  /** Nothing here throws but a defect, of the host as well; the session goes on with a new connection. */
  #broken(thrown: unknown): boolean {
    const error = toBridgeError(thrown)
    this.#current?.end(error)
    this.#current = undefined
    this.#link = undefined
    this.#report.failed(error)
    return false
  }

  /** Tries every server once; undefined when none took us. */
  async #round(): Promise<NatsLink | undefined> {
    for (const server of this.#pool.round()) {
      const login = readLogin(this.#config, this.#clock.now())
      this.#fingerprint = login.fingerprint
      if (login.error !== undefined) {
        this.#report.failed(login.error)
        return undefined
      }
      const link = await this.#attempt(server, login)
      if (link !== undefined || this.#stopped) return link
    }
    return undefined
  }

  async #attempt(server: ServerAddress, login: Login): Promise<NatsLink | undefined> {
    this.#pool.use(server)
    this.#report.connecting(server.label)
    const options = connectionOptions(this.#config, server, login.credentials, login.tls)
    const link: NatsLink = new NatsLink(server, options, this.#host.transport(), {
      complaint: (complaint) => this.#complained(complaint),
      announced: (urls) => this.#pool.learn(urls, server),
      lameDuck: () => this.#lameDuck(link),
    })
    this.#current = link
    try {
      await link.open()
    } catch (thrown) {
      this.#current = undefined
      if (!this.#stopped) await this.#failed(toBridgeError(thrown), link, login)
      return undefined
    }
    this.#pool.worked(server)
    this.#workedJwt = login.credentials.jwt
    return link
  }

  async #failed(error: BridgeError, link: NatsLink, { credentials }: Login): Promise<void> {
    const { server, stage } = link
    this.#pool.failed(server)
    const handshakeFirst = this.#config.tls?.handshakeFirst === true
    const explained = await explainHandshake(error, { server, stage, handshakeFirst })
    if (this.#stopped) return
    const worked = credentials.jwt === this.#workedJwt
    this.#report.failed(explainRefusal(explained, credentials, worked))
  }

  /** Stays with a connection until it ends. Resolves to true when the next may be made at once. */
  async #hold(link: NatsLink): Promise<boolean> {
    const from = this.#clock.monotonic()
    const heartbeat = new Heartbeat(
      link,
      {
        rtt: (seconds) => this.#report.pingAnswered(seconds),
        stale: (silentMs) => link.end(this.#stale(link, silentMs)),
      },
      this.#clock,
      this.#config.pingInterval,
    )
    this.#link = link
    this.#report.up(link)
    heartbeat.start()
    this.#host.up(link.facts)
    if (this.#stopped) await link.close(leaving())
    const error = await link.ended
    heartbeat.stop()
    this.#link = undefined
    this.#current = undefined
    if (this.#stopped) this.#report.left()
    else this.#report.lost(error)
    this.#host.down(error)
    const upFor = this.#clock.monotonic() - from
    this.#backoff.ended(upFor)
    return upFor >= SETTLED || error.code === 'NATS_LAME_DUCK'
  }

  /** Waits for that long, for `retryNow()`, or until what we log in with has changed. */
  async #wait(ms: number): Promise<void> {
    this.#report.enter('waiting')
    for (let left = ms; left > 0 && !this.#stopped; left -= LOOK) {
      if (await this.#pause.wait(Math.min(left, LOOK))) return
      const { fingerprint } = readLogin(this.#config, this.#clock.now())
      if (fingerprint !== this.#fingerprint) return
    }
  }

  #complained({ error, operation, subject }: ServerComplaint): void {
    this.#host.serverError(error, {
      ...(operation && { operation }),
      ...(subject !== undefined && { subject }),
    })
  }

  #lameDuck(link: NatsLink): void {
    const { label } = link.server
    this.#report.lameDuck(label)
    this.#host.lameDuck()
    this.#clock.after(LAME_DUCK_TIME, () => {
      if (this.#link !== link || this.#pool.size < 2) return
      const text = `leaving '${label}': it is about to shut down`
      link.end(new BridgeError(text, { code: 'NATS_LAME_DUCK' }))
    })
  }

  #stale(link: NatsLink, silentMs: number): BridgeError {
    const seconds = (silentMs / 1000).toFixed(1)
    return new BridgeError(`reading from '${link.server.label}': nothing for ${seconds} s`, {
      code: 'NATS_STALE',
    })
  }

  #connected(action: string): NatsLink {
    if (this.#link !== undefined) return this.#link
    throw new BridgeError(`${action}: not connected`, { code: 'LINK_LOST' })
  }
}

function leaving(): BridgeError {
  return new BridgeError('stopping the NATS session', { code: 'SHUTTING_DOWN' })
}
