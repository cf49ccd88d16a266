import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { BridgeError, toBridgeError } from '../core/errors.ts'
import type { Logger, Part } from '../core/ports.ts'

/** Answers one request; a streaming one keeps the response open and ends when it closes. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

/** Milliseconds; a client that is slower than this to send its request is cut off. */
const REQUEST_TIMEOUT = 10_000
const HEADERS_TIMEOUT = 5_000
const KEEP_ALIVE_TIMEOUT = 5_000
/** Bytes of request line and headers. */
const MAX_HEADER_SIZE = 8192
const MAX_CONNECTIONS = 100
/** Milliseconds that open responses have to end by themselves at stop. */
const STOP_GRACE = 500

/**
 * The port people and probes watch the bridge through: reads only, GET and HEAD, no bodies, everything
 * bounded. A failing handler is answered with 500 and logged; it never reaches the process.
 */
export class HttpServer implements Part {
  readonly #listen: { readonly host: string; readonly port: number }
  readonly #handlers: Readonly<Record<string, Handler>>
  readonly #logger: Logger
  #server: Server | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  /**
   * @param listen port 0 takes a free one, see {@link HttpServer.port}
   * @param handlers by exact path, such as `/metrics`
   */
  constructor(
    listen: { readonly host: string; readonly port: number },
    handlers: Readonly<Record<string, Handler>>,
    logger: Logger,
  ) {
    this.#listen = listen
    this.#handlers = handlers
    this.#logger = logger
  }

  /** The port listened on; 0 while not listening. */
  get port(): number {
    const address = this.#server?.address() as AddressInfo | string | null | undefined
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** Listens; throws `BridgeError` LISTEN_FAILED when the address cannot be had. */
  start(): Promise<void> {
    this.#starting ??= this.#open()
    return this.#starting
  }

  /** Takes no more requests, gives open responses half a second, then closes every connection. */
  stop(): Promise<void> {
    this.#stopping ??= this.#close()
    return this.#stopping
  }

  async #open(): Promise<void> {
    const server = createServer(
      {
        requestTimeout: REQUEST_TIMEOUT,
        headersTimeout: HEADERS_TIMEOUT,
        keepAliveTimeout: KEEP_ALIVE_TIMEOUT,
        maxHeaderSize: MAX_HEADER_SIZE,
      },
      (request, response) => void this.#serve(request, response),
    )
    server.maxConnections = MAX_CONNECTIONS
    await this.#bind(server)
    this.#server = server
    server.on('error', (error) =>
      this.#logger.failure(toBridgeError(error), 'serving http failed', 'error'),
    )
    this.#logger.info({ host: this.#listen.host, port: this.port }, 'http listening')
  }

  #bind(server: Server): Promise<void> {
    const { host, port } = this.#listen
    return new Promise((resolve, reject) => {
      server.once('error', (cause) => {
        const message = `listening on '${hostPort(host, port)}': ${cause.message}`
        reject(new BridgeError(message, { code: 'LISTEN_FAILED', cause }))
      })
      server.listen({ host, port }, () => {
        server.removeAllListeners('error')
        resolve()
      })
    })
  }

  async #close(): Promise<void> {
    // A start under way is let finish; its failure was told to whoever started.
    await this.#starting?.catch(() => {})
    const server = this.#server
    if (server === undefined) return
    const cut = setTimeout(() => server.closeAllConnections(), STOP_GRACE)
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeIdleConnections()
    })
    clearTimeout(cut)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A client that goes away while an answer is written is its own business.
    response.on('error', () => {})
    response.setHeader('x-content-type-options', 'nosniff')
    response.setHeader('cache-control', 'no-store')
    if (this.#stopping !== undefined) response.setHeader('connection', 'close')
    try {
      await this.#choose(request, response)(request, response)
    } catch (thrown) {
      this.#fail(request, response, thrown)
    }
  }

  #choose(request: IncomingMessage, response: ServerResponse): Handler {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD')
      response.setHeader('connection', 'close')
      return (_, to) => sendText(to, 405, 'only GET and HEAD are answered here\n')
    }
    if (hasBody(request)) {
      response.setHeader('connection', 'close')
      return (_, to) => sendText(to, 413, 'a request here has no body\n')
    }
    const path = request.url?.split('?', 1)[0] ?? '/'
    const handler = Object.hasOwn(this.#handlers, path) ? this.#handlers[path] : undefined
    if (handler !== undefined) return handler
    if (path === '/') return (_, to) => sendHtml(to, this.#indexPage())
    return (_, to) => sendText(to, 404, `no such page; there are:\n${this.#paths().join('\n')}\n`)
  }

  #fail(request: IncomingMessage, response: ServerResponse, thrown: unknown): void {
    const cause = toBridgeError(thrown)
    const { code, message } = cause
    const path = request.url?.slice(0, 200)
    const error = new BridgeError(`answering '${path}': ${message}`, { code, cause })
    this.#logger.failure(error, 'answering http failed', 'error')
    if (response.headersSent) response.destroy()
    else sendText(response, 500, `${code}: answering failed; the log says why\n`)
  }

  #indexPage(): string {
    const links = this.#paths().map((path) => `<li><a href="${path}">${path}</a></li>`)
    return `<!doctype html>\n<title>mqtt-nats-bridge</title>\n<h1>mqtt-nats-bridge</h1>\n<ul>\n${links.join('\n')}\n</ul>\n`
  }

  #paths(): string[] {
    return Object.keys(this.#handlers).sort()
  }
}

/** Answers with a plain text body. */
export function sendText(response: ServerResponse, status: number, body: string): void {
  send(response, status, 'text/plain; charset=utf-8', body)
}

/** Answers with a JSON body, indented for people. */
export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  send(response, status, 'application/json; charset=utf-8', `${JSON.stringify(value, null, 2)}\n`)
}

function sendHtml(response: ServerResponse, body: string): void {
  send(response, 200, 'text/html; charset=utf-8', body)
}

/** Answers with a whole body of the given content type. */
export function send(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string,
): void {
  const headers: OutgoingHttpHeaders = {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
  }
  response.writeHead(status, headers)
  response.end(body)
}

function hasBody(request: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
  return encoding !== undefined || (length !== undefined && length !== '0')
}

function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
