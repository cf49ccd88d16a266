import { TLSSocket } from 'node:tls'
import type { ConnectionOptions, ServerInfo } from 'nats'
import { RequestOne } from 'nats/lib/nats-base-client/internal_mod.js'
import { BridgeError } from '../core/errors.ts'
import { socketError } from '../core/socket-errors.ts'
import {
  attemptError,
  printable,
  requestError,
  type ServerComplaint,
  type Stage,
  serverComplaint,
} from './errors.ts'
import { LinkProtocol } from './protocol.ts'
import type { ServerAddress } from './servers.ts'
import type { SessionTransport } from './session-transport.ts'

/** What a server tells about itself and the connection. */
export interface NatsLinkFacts {
  /** `host:port` dialled. */
  readonly server: string
  readonly serverId: string
  readonly serverName: string
  readonly version: string
  /** Bytes. */
  readonly maxPayload: number
  readonly headers: boolean
  readonly jetstream: boolean
  readonly clientId: number
  /** Empty when the server stands alone. */
  readonly cluster: string
}

/** What happens on an open connection without ending it. */
export interface LinkEvents {
  complaint(complaint: ServerComplaint): void
  /** Addresses of the cluster as announced now. */
  announced(urls: readonly string[]): void
  lameDuck(): void
}

/** nats-server's own default of max_payload, for a server that does not tell. */
const DEFAULT_MAX_PAYLOAD = 1024 * 1024

/** Milliseconds that flushing may take before a connection is closed regardless. */
const FLUSH_TIME = 1_500

/** One connection to one server, made once and never again. */
export class NatsLink {
  readonly server: ServerAddress
  /** Resolves with the reason when a connection that was open has ended. */
  readonly ended: Promise<BridgeError>
  readonly #transport: SessionTransport
  readonly #protocol: LinkProtocol
  readonly #events: LinkEvents
  #open = false
  #lame = false
  /** Why we ended it. */
  #reason: BridgeError | undefined
  /** The last thing the server said that ends a connection. */
  #lastWords: BridgeError | undefined

  constructor(
    server: ServerAddress,
    options: ConnectionOptions,
    transport: SessionTransport,
    events: LinkEvents,
  ) {
    this.server = server
    this.#transport = transport
    this.#events = events
    this.#protocol = new LinkProtocol(options, transport, {
      said: (text) => this.#said(text),
      info: (info) => this.#informed(info),
      broken: (error) => this.#broken(error),
    })
    this.ended = this.#protocol.closed.then((error) => this.#why(error ?? undefined))
  }

  /** Connects and logs in. Throws a `BridgeError`; the attempt then leaves nothing behind. */
  async open(): Promise<void> {
    if (this.#reason !== undefined) throw this.#reason
    try {
      await this.#protocol.dialLoop()
    } catch (error) {
      this.#transport.abort()
      const known = this.#reason ?? this.#lastWords
      throw known ?? attemptError(error, this.server.label, this.stage)
    }
    this.#open = true
    const { info } = this.#protocol
    if (info !== undefined) this.#announce(info)
  }

  /** How far the attempt came. */
  get stage(): Stage {
    return this.#transport.stage
  }

  get facts(): NatsLinkFacts {
    const info: Partial<ServerInfo> = this.#protocol.info ?? {}
    const { max_payload: max, client_id: id } = info
    return {
      server: this.server.label,
      serverId: textOf(info.server_id),
      serverName: textOf(info.server_name),
      version: textOf(info.version),
      maxPayload: typeof max === 'number' && max > 0 ? max : DEFAULT_MAX_PAYLOAD,
      headers: info.headers === true,
      jetstream: info.jetstream === true,
      clientId: typeof id === 'number' ? id : 0,
      cluster: textOf(info.cluster),
    }
  }

  /** TLS version and the end of the server certificate, seconds since the epoch; empty and 0 without TLS. */
  get tlsFacts(): { readonly version: string; readonly certNotAfter: number } {
    const { socket } = this.#transport
    if (!(socket instanceof TLSSocket)) return { version: '', certNotAfter: 0 }
    const end = Date.parse(socket.getPeerCertificate().valid_to ?? '')
    return {
      version: socket.getProtocol() ?? '',
      certNotAfter: Number.isNaN(end) ? 0 : Math.floor(end / 1000),
    }
  }

  bytesRead(): number {
    return this.#transport.socket?.bytesRead ?? 0
  }

  sent(): { readonly taken: number; readonly waiting: number } {
    const { socket } = this.#transport
    const waiting = socket?.writableLength ?? 0
    return { taken: (socket?.bytesWritten ?? 0) - waiting, waiting }
  }

  held(): boolean {
    return this.#transport.socket?.isPaused() === true
  }

  /** Resolves when the server has worked off everything written so far. */
  ping(): Promise<void> {
    if (this.#protocol.isClosed()) return Promise.reject(this.#closed('pinging'))
    return this.#protocol.flush()
  }

  /** Sends a request and resolves to the payload of its answer. Throws a `BridgeError`. */
  async request(
    subject: string,
    payload: Uint8Array | string,
    timeoutMs: number,
  ): Promise<Uint8Array> {
    const protocol = this.#protocol
    if (protocol.isClosed()) throw this.#closed(`requesting '${subject}'`)
    const request = new RequestOne(
      protocol.muxSubscriptions,
      subject,
      { timeout: timeoutMs },
      false,
    )
    // both are raced below; whichever loses must not count as unhandled
    request.deferred.catch(() => undefined)
    try {
      protocol.request(request)
      const reply = `${protocol.muxSubscriptions.baseInbox}${request.token}`
      protocol.publish(subject, payload, { reply })
      const answer = await Promise.race([request.timer, request.deferred])
      return answer.data
    } catch (error) {
      request.cancel()
      // closing, the library tells what is under way that it timed out
      if (protocol.isClosed()) throw this.#closed(`requesting '${subject}'`, error)
      throw requestError(error, subject)
    }
  }

  /** Ends the connection, or the attempt, at once, for that reason. */
  end(reason: BridgeError): void {
    this.#reason ??= reason
    this.#transport.abort(this.#reason)
  }

  /** Lets the server take what is written, within bounds, and ends the connection. */
  async close(reason: BridgeError): Promise<void> {
    if (this.#open && !this.#protocol.isClosed()) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, FLUSH_TIME)
      })
      // a connection that breaks meanwhile is closed as well
      await Promise.race([this.ping().catch(() => undefined), late])
      clearTimeout(timer)
    }
    this.end(reason)
  }

  #said(text: string): void {
    const complaint = serverComplaint(text, this.server.label)
    if (complaint.ends) this.#lastWords = complaint.error
    else this.#events.complaint(complaint)
  }

  #informed(info: ServerInfo): void {
    if (!this.#open) return
    this.#announce(info)
  }

  #announce(info: ServerInfo): void {
    const urls: unknown = info.connect_urls
    const texts = Array.isArray(urls) ? urls.filter((url) => typeof url === 'string') : []
    this.#events.announced(texts)
    if (info.ldm !== true || this.#lame) return
    this.#lame = true
    this.#events.lameDuck()
  }

  #broken(error: unknown): void {
    const text = printable(error instanceof Error ? error.message : String(error))
    this.end(
      new BridgeError(`reading from '${this.server.label}': ${text}`, {
        code: 'PROTOCOL_ERROR',
        cause: error,
      }),
    )
  }

  #why(error: Error | undefined): BridgeError {
    if (this.#reason !== undefined) return this.#reason
    if (this.#lastWords !== undefined) return this.#lastWords
    if (error instanceof BridgeError) return error
    const action = `reading from '${this.server.label}'`
    const known = socketError(error, action)
    if (known !== undefined) return known
    return new BridgeError(`${action}: the server closed the connection`, {
      code: 'LINK_LOST',
      cause: error,
    })
  }

  #closed(action: string, cause?: unknown): BridgeError {
    return new BridgeError(`${action}: not connected`, { code: 'LINK_LOST', cause })
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? printable(value) : ''
}
