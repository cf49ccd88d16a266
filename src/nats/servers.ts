import { isIP } from 'node:net'
import { BridgeError } from '../core/errors.ts'

const DEFAULT_PORT = 4222

/** Servers taken over from a cluster's announcement at most. */
const MAX_LEARNED = 256

/** A learned server that failed this often in a row is forgotten until a server announces it again. */
const FORGET_AFTER = 2

/** One address to dial. */
export interface ServerAddress {
  readonly host: string
  readonly port: number
  /** `host:port`, for people and for comparing. */
  readonly label: string
  /** Name the certificate must carry: the host without trailing dots; for a learned IP address the name of the server that announced it. */
  readonly tlsName: string
}

/**
 * Reads `nats://host:port`, `tls://host`, `host:port` or `[::1]:4222`. A trailing dot says that a name is
 * complete: it stays in what is dialled and never reaches TLS, where servers stumble over it.
 * Throws CONFIG_INVALID.
 */
export function parseServer(text: string): ServerAddress {
  // http stands in: its URLs keep the port apart from the host; port 80 is the one it would swallow
  const bare = text.trim().replace(/^[a-z][a-z\d+.-]*:\/\//i, '')
  const port = /:(\d+)\/?$/.exec(bare)?.[1]
  let host: string
  try {
    host = new URL(`http://${bare}`).hostname.replace(/^\[(.*)\]$/, '$1')
  } catch (error) {
    throw new BridgeError(`reading the server address '${text}': not host:port`, {
      code: 'CONFIG_INVALID',
      cause: error,
    })
  }
  return addressOf(host, port === undefined ? DEFAULT_PORT : Number(port))
}

function addressOf(host: string, port: number): ServerAddress {
  const tlsName = host.replace(/\.+$/, '')
  const shown = isIP(tlsName) === 6 ? `[${tlsName}]` : tlsName
  return { host, port, label: `${shown}:${port}`, tlsName }
}

/**
 * The servers that may be dialled: the configured ones, and those that a cluster announced (`connect_urls`)
 * for as long as it does. They are tried in turn, each once per round.
 */
export class ServerPool {
  readonly #configured: readonly ServerAddress[]
  #learned: readonly ServerAddress[] = []
  readonly #failures = new Map<string, number>()
  #last = ''

  /** @param urls as configured, at least one */
  constructor(urls: readonly string[]) {
    this.#configured = urls.map(parseServer)
  }

  /** Number of addresses known. */
  get size(): number {
    return this.#configured.length + this.#learned.length
  }

  /** Every server once, beginning after the one used last. */
  round(): readonly ServerAddress[] {
    const all = [...this.#configured, ...this.#learned]
    const last = all.findIndex(({ label }) => label === this.#last)
    return [...all.slice(last + 1), ...all.slice(0, last + 1)]
  }

  /** Notes that a server is being dialled. */
  use(server: ServerAddress): void {
    this.#last = server.label
  }

  /** Notes that a server took the login. */
  worked(server: ServerAddress): void {
    this.#failures.delete(server.label)
  }

  /** Notes a failed attempt: an announced address that stays away would only lengthen every round. */
  failed(server: ServerAddress): void {
    if (!this.#learned.includes(server)) return
    const failures = (this.#failures.get(server.label) ?? 0) + 1
    this.#failures.set(server.label, failures)
    if (failures < FORGET_AFTER) return
    this.#failures.delete(server.label)
    this.#learned = this.#learned.filter((one) => one !== server)
  }

  /** Takes over what a connected server announces; what it no longer names is dropped. */
  learn(urls: readonly string[], from: ServerAddress): void {
    const known = new Set(this.#configured.map(({ label }) => label))
    const learned: ServerAddress[] = []
    for (const url of urls.slice(0, MAX_LEARNED)) {
      const server = announced(url, from)
      if (server === undefined || known.has(server.label)) continue
      known.add(server.label)
      learned.push(server)
    }
    this.#learned = learned
    for (const label of this.#failures.keys()) if (!known.has(label)) this.#failures.delete(label)
  }
}

function announced(url: string, from: ServerAddress): ServerAddress | undefined {
  try {
    const server = parseServer(url)
    if (isIP(server.host) === 0 || isIP(from.tlsName) !== 0) return server
    return { ...server, tlsName: from.tlsName }
  } catch {
    // what another program announces is not worth failing over
    return undefined
  }
}
