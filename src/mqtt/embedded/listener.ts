import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls'
import type { EmbeddedConfig } from '../../core/config.ts'
import { BridgeError, toBridgeError } from '../../core/errors.ts'
import type { Clock, Logger } from '../../core/ports.ts'
import { ChangingFiles } from './changing-files.ts'
import type { EmbeddedLimits, EmbeddedStats } from './limits.ts'

export interface ListenerOwner {
  readonly limits: EmbeddedLimits
  readonly stats: EmbeddedStats
  readonly logger: Logger
  readonly clock: Clock
  /** A device connected; with TLS, when the handshake is done. */
  onSocket(socket: Socket): void
}

/** Accepts devices, over TLS when the configuration has keys; renewed keys serve the next connection. */
export class Listener {
  readonly #config: EmbeddedConfig
  readonly #owner: ListenerOwner
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  constructor(config: EmbeddedConfig, owner: ListenerOwner) {
    this.#config = config
    this.#owner = owner
  }

  /** The port listened on; 0 when not listening. */
  get port(): number {
    const address = this.#server?.address() as AddressInfo | null | undefined
    return address?.port ?? 0
  }

  /** @throws BridgeError LISTEN_FAILED, TLS_FILE_UNREADABLE */
  async open(): Promise<void> {
    const { host, port } = parseListen(this.#config.listen)
    const server = this.#makeServer()
    server.maxConnections = this.#owner.limits.maxClients
    server.on('drop', () => this.#owner.stats.clientsRefused++)
    // with TLS this is the socket beneath, so that one that never finishes its handshake is closed at the end
    server.prependListener('connection', (socket: Socket) => this.#track(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        const message = `listening on '${this.#config.listen}': ${cause.message}`
        reject(new BridgeError(message, { code: 'LISTEN_FAILED', cause }))
      })
      server.listen(port, host, resolve)
    })
    server.on('error', (error) => {
      this.#owner.logger.failure(toBridgeError(error, 'LISTEN_FAILED'), 'listener failed')
    })
    this.#server = server
  }

  /** Takes no more connections; resolves when all are closed, which {@link closeSockets} sees to. */
  async close(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
    })
  }

  closeSockets(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }

  #makeServer(): Server {
    const { certFile, keyFile } = this.#config
    const onSocket = (socket: Socket) => this.#owner.onSocket(socket)
    if (certFile === undefined || keyFile === undefined) return createServer(onSocket)
    const changing = new ChangingFiles([certFile, keyFile], this.#owner.clock)
    changing.changed()
    const handshakeTimeout = this.#owner.limits.connectTimeout
    const server = makeTlsServer({ certFile, keyFile }, handshakeTimeout, onSocket)
    server.on('tlsClientError', (error) => {
      this.#owner.logger.debug({ error: error.message }, 'TLS handshake with a device failed')
    })
    // before the server's own handler, so that this very connection gets the renewed keys
    server.prependListener('connection', () => {
      if (changing.changed()) this.#renew(server, { certFile, keyFile })
    })
    return server
  }

  #renew(server: TlsServer, files: KeyFiles): void {
    try {
      server.setSecureContext(readKeys(files))
      this.#owner.logger.info({ certFile: files.certFile }, 'TLS files read again')
    } catch (thrown) {
      const error = toBridgeError(thrown, 'TLS_FILE_UNREADABLE')
      this.#owner.logger.failure(
        error,
        'TLS files changed but cannot be used; the ones before stay',
      )
    }
  }
}

interface KeyFiles {
  readonly certFile: string
  readonly keyFile: string
}

function makeTlsServer(
  files: KeyFiles,
  handshakeTimeout: number,
  onSocket: (socket: Socket) => void,
): TlsServer {
  try {
    return createTlsServer({ ...readKeys(files), handshakeTimeout }, onSocket)
  } catch (cause) {
    throw tlsFailure(files, cause)
  }
}

function readKeys(files: KeyFiles): { cert: Buffer; key: Buffer } {
  try {
    return { cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) }
  } catch (cause) {
    throw tlsFailure(files, cause)
  }
}

function tlsFailure(files: KeyFiles, cause: unknown): BridgeError {
  if (cause instanceof BridgeError) return cause
  const why = cause instanceof Error ? cause.message : String(cause)
  const message = `reading TLS files '${files.certFile}' and '${files.keyFile}': ${why}`
  return new BridgeError(message, { code: 'TLS_FILE_UNREADABLE', cause })
}

/** Host and port of `host:port` or `[v6]:port`; throws BridgeError LISTEN_FAILED. */
export function parseListen(listen: string): { host: string; port: number } {
  const found = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(listen)
  const port = Number(found?.[3])
  if (found === null || port > 65_535) {
    const message = `listening on '${listen}': not of the form host:port`
    throw new BridgeError(message, { code: 'LISTEN_FAILED' })
  }
  return { host: found[1] ?? found[2] ?? '', port }
}

/** Whether only this machine can reach the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host)
}
