import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { ConnectionOptions } from 'nats'
import { buildAuthenticator } from 'nats/lib/nats-base-client/internal_mod.js'
import type { NatsConfig, NatsTlsConfig } from '../core/config.ts'
import { BridgeError } from '../core/errors.ts'
import { socketError } from '../core/socket-errors.ts'
import type { Credentials } from './auth.ts'
import type { ServerAddress } from './servers.ts'

/** Prefix of the subjects answers to our requests come on. */
export const INBOX_PREFIX = '_INBOX'

/** The longest wait a timer of Node keeps. */
const NEVER = 2 ** 31 - 1

/** Certificates and keys of one moment. */
export interface TlsMaterial {
  readonly context: SecureContext
  /** Differs when any of the files does. */
  readonly fingerprint: string
}

/** Reads the TLS files, so that rotated ones count from the next attempt on. Throws TLS_FILE_UNREADABLE. */
export function readTls(tls: NatsTlsConfig): TlsMaterial {
  const hash = createHash('sha256')
  const files = { ca: tls.caFile, cert: tls.certFile, key: tls.keyFile }
  const contents: { ca?: Buffer; cert?: Buffer; key?: Buffer } = {}
  for (const name of ['ca', 'cert', 'key'] as const) {
    const path = files[name]
    if (path === undefined) continue
    const content = readFile(path)
    contents[name] = content
    hash.update(`${name} ${content.length} `).update(content)
  }
  try {
    if (contents.ca) checkAuthorities(contents.ca)
    return { context: createSecureContext(contents), fingerprint: hash.digest('hex') }
  } catch (error) {
    throw fileError('reading the TLS files', error)
  }
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/gs

/** Node passes over what it cannot read in a CA file and then trusts nobody, without a word. */
function checkAuthorities(pem: Buffer): void {
  const certificates = pem.toString('latin1').match(PEM_CERTIFICATE)
  if (certificates === null) throw new Error('the CA file holds no certificate')
  for (const certificate of certificates) new X509Certificate(certificate)
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw fileError(`reading '${path}'`, error)
  }
}

function fileError(action: string, cause: unknown): BridgeError {
  const known = socketError(cause, action)
  const text = known?.message ?? `${action}: ${cause instanceof Error ? cause.message : cause}`
  return new BridgeError(text, { code: 'TLS_FILE_UNREADABLE', cause })
}

/**
 * The library's options for one attempt at one server. The library makes one connection and never another:
 * reconnecting, rotation and back-off are the session's. Without a `tls` section a server that insists on TLS
 * gets it, checked against the CAs of the system; one that merely offers it is spoken to in clear text.
 */
export function connectionOptions(
  config: NatsConfig,
  server: ServerAddress,
  credentials: Credentials,
  tls: TlsMaterial | undefined,
): ConnectionOptions {
  const { authenticator } = credentials
  return {
    servers: [server.label],
    name: config.name,
    timeout: config.connectTimeout,
    inboxPrefix: INBOX_PREFIX,
    authenticator: buildAuthenticator(authenticator === undefined ? {} : { authenticator }),
    noEcho: true,
    verbose: false,
    pedantic: false,
    noAsyncTraces: true,
    reconnect: false,
    maxReconnectAttempts: 0,
    reconnectDelayHandler: () => 0,
    ignoreAuthErrorAbort: true,
    ignoreClusterUpdates: true,
    noRandomize: true,
    // addresses are looked up by the system, which knows search domains and its own hosts file
    resolve: false,
    // the session has a heartbeat of its own, see Heartbeat
    pingInterval: NEVER,
    ...(config.tls && tls && { tls: tlsOptions(config.tls, server, tls) }),
  }
}

/** Passed through to `tls.connect`, which knows more options than the types of the library. */
function tlsOptions(config: NatsTlsConfig, server: ServerAddress, tls: TlsMaterial): object {
  const name = config.serverName?.replace(/\.+$/, '') ?? server.tlsName
  return {
    handshakeFirst: config.handshakeFirst,
    secureContext: tls.context,
    // an IP address is checked against the certificate but is no name that may be sent
    servername: isIP(name) === 0 ? name : '',
    host: name,
  }
}
