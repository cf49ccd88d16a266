import { createConnection, isIP, type Socket } from 'node:net'
import type { ConnectionOptions, ServerInfo } from 'nats'
import { NodeTransport } from 'nats/lib/src/node_transport.js'
import { BridgeError } from '../core/errors.ts'
import { printable, type Stage, serverComplaint } from './errors.ts'

/** Longest greeting taken, bytes; the addresses of a large cluster make it long. */
const MAX_GREETING = 1024 * 1024

const GREETING = /^INFO[ \t]+(\S.*?)\r?\n$/is
const NEWLINE = 10

/** Where a transport is to connect. */
type Place = Parameters<NodeTransport['connect']>[0]

const ignore = (): void => undefined

/**
 * The library's transport made safe for strangers: the greeting is bounded, an attempt given up leaves no
 * socket behind, closing never waits for a peer that does not read, and no socket is ever without a listener
 * for its errors.
 */
export class SessionTransport extends NodeTransport {
  #place: Place = { hostname: '', port: 0, tlsName: '' }
  #stage: Stage = 'dialling'
  #raw: Socket | undefined
  #failure: Error | undefined
  #abandoned = false

  /** How far the attempt has come; stays at `login` afterwards. */
  get stage(): Stage {
    return this.#stage
  }

  override connect(place: Place, options: ConnectionOptions): Promise<void> {
    this.#place = place
    return super.connect(place, options)
  }

  /** Begins the TCP connection; to be replaced by who wants other socket options. */
  protected openSocket(place: { readonly hostname: string; readonly port: number }): Socket {
    return createConnection({ host: place.hostname, port: place.port, noDelay: true })
  }

  override dial(place: { hostname: string; port: number }): Promise<Socket> {
    const socket = this.openSocket(place)
    this.#raw = socket
    return new Promise((resolve, reject) => {
      const closed = (): void => reject(this.#failure)
      // stays for good: under TLS, or between two steps, nobody else listens here
      socket.on('error', (error) => {
        this.#failure = error
      })
      socket.once('close', closed)
      socket.once('connect', () => {
        socket.off('close', closed)
        this.#stage = 'greeting'
        resolve(socket)
      })
      if (this.#abandoned) socket.destroy()
    })
  }

  override async tlsFirst(place: Parameters<NodeTransport['tlsFirst']>[0]) {
    this.socket = await this.dial(place)
    this.#stage = 'handshake'
    const secure = await super.tlsFirst(place)
    secure.on('error', (error) => {
      this.#failure = error
    })
    this.#stage = 'greeting'
    return secure
  }

  override async startTLS() {
    this.#stage = 'handshake'
    // what came in clear after the greeting could be anybody's and must not be read as if it had come over TLS
    this.yields = this.yields.slice(0, 1)
    if (!this.options.tls) this.options = { ...this.options, tls: this.#defaultTls() }
    const secure = await super.startTLS()
    secure.on('error', (error) => {
      this.#failure = error
    })
    return secure
  }

  override peekInfo(): Promise<ServerInfo> {
    const { socket } = this
    const chunks: Buffer[] = []
    let size = 0
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        socket.off('data', read)
        socket.off('close', closed)
      }
      const closed = (): void => {
        stop()
        reject(this.#failure)
      }
      const read = (chunk: Buffer): void => {
        chunks.push(chunk)
        size += chunk.length
        if (size < MAX_GREETING && size >= 5 && !chunk.includes(NEWLINE) && looksRight(chunks))
          return
        if (size < 5 && !chunk.includes(NEWLINE)) return
        stop()
        try {
          resolve(this.#greeted(Buffer.concat(chunks)))
        } catch (error) {
          reject(error)
        }
      }
      socket.on('data', read)
      socket.on('close', closed)
    })
  }

  override setupHandlers(): void {
    this.#stage = 'login'
    super.setupHandlers()
    if (this.#abandoned) this.abort()
  }

  override close(error?: Error): Promise<void> {
    this.abort(error)
    return Promise.resolve()
  }

  override disconnect(): void {
    this.abort()
  }

  /** Ends the connection, or the attempt, at once. What was written and not sent yet is lost. */
  abort(error?: Error): void {
    this.#abandoned = true
    // until there is one for the library; never the one under TLS, whose end Node does not survive everywhere
    const socket = this.socket ?? this.#raw
    if (!this.connected) socket?.destroy()
    if (!this.connected || this.done) return
    socket.removeAllListeners()
    socket.on('error', ignore)
    socket.destroy()
    if (error !== undefined) this.closeError = error
    this.done = true
    // lets the reader of the library end
    this.signal.resolve()
    this.closedNotification.resolve(error)
  }

  /** Takes the first line and keeps all bytes for the library's parser, the line as a piece of its own. */
  #greeted(bytes: Buffer): ServerInfo {
    const end = bytes.indexOf(NEWLINE) + 1
    const line = bytes.toString('utf8', 0, end)
    const info = end === 0 ? undefined : parsed(GREETING.exec(line)?.[1])
    if (info === undefined) throw this.#strange(bytes)
    this.yields.push(bytes.subarray(0, end))
    if (end < bytes.length) this.yields.push(bytes.subarray(end))
    // without TLS in the configuration it is used only where the server insists
    if (!this.options.tls && info.tls_required !== true) info.tls_available = false
    return info
  }

  #strange(bytes: Buffer): BridgeError {
    const server = `${this.#place.hostname}:${this.#place.port}`
    const start = bytes.toString('latin1', 0, 100)
    const complaint = /^-ERR\s+(.*)/i.exec(start)?.[1]
    if (complaint !== undefined) return serverComplaint(complaint, server).error
    return new BridgeError(
      `connecting to '${server}': not the greeting of a NATS server: '${printable(start.slice(0, 40))}'`,
      { code: 'PROTOCOL_ERROR' },
    )
  }

  /** For a server that insists on TLS while the configuration does not mention it: the system's CAs count. */
  #defaultTls(): object {
    const { hostname } = this.#place
    const name = hostname.replace(/\.+$/, '')
    return { host: name, servername: isIP(name) === 0 ? name : '' }
  }
}

/** Whether the bytes so far can become a greeting or a complaint. */
function looksRight(chunks: readonly Buffer[]): boolean {
  const [first] = chunks
  const start = first !== undefined && first.length >= 5 ? first : Buffer.concat(chunks)
  return /^(INFO[ \t]|-ERR[ \t])/i.test(start.latin1Slice(0, 5))
}

function parsed(json: string | undefined): ServerInfo | undefined {
  if (json === undefined) return undefined
  try {
    const info: unknown = JSON.parse(json)
    return typeof info === 'object' && info !== null ? (info as ServerInfo) : undefined
  } catch {
    return undefined
  }
}
