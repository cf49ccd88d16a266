import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import {
  type ConnectionOptions,
  checkServerIdentity,
  createSecureContext,
  type SecureContext,
} from 'node:tls'
import type { IClientOptions } from 'mqtt'
import type { MqttConfig, TlsConfig } from '../core/config.ts'
import { BridgeError } from '../core/errors.ts'
import type { Dialect } from './dialects.ts'
import { PacketIds } from './packet-ids.ts'

const DEFAULT_PORTS = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 } as const
const MAX_RECEIVE_MAXIMUM = 0xffff

/** Where one broker URL leads. */
export interface Endpoint {
  readonly transport: 'mqtt' | 'mqtts' | 'ws' | 'wss'
  /** Without brackets and without a trailing dot. */
  readonly host: string
  readonly port: number
  /** `host:port`, as logs and reports show it. */
  readonly server: string
  /** Path and query, for WebSocket; begins with `/`. */
  readonly path: string
}

/** Reads a broker URL. Throws `BridgeError` CONFIG_INVALID for anything but `mqtt mqtts ws wss`. */
export function parseEndpoint(url: string): Endpoint {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  const transport = parsed?.protocol.slice(0, -1)
  if (parsed === undefined || !isTransport(transport) || parsed.hostname === '') {
    throw new BridgeError(`reading the broker URL '${withoutUserInfo(url)}': not a broker URL`, {
      code: 'CONFIG_INVALID',
    })
  }
  const host = withoutTrailingDot(parsed.hostname.replace(/^\[|\]$/g, ''))
  const port = parsed.port === '' ? DEFAULT_PORTS[transport] : Number(parsed.port)
  const shown = isIP(host) === 6 ? `[${host}]` : host
  const path = `${parsed.pathname === '' ? '/' : parsed.pathname}${parsed.search}`
  return { transport, host, port, server: `${shown}:${port}`, path }
}

/** Whether the endpoint is reached through TLS. */
export function usesTls(endpoint: Endpoint): boolean {
  return endpoint.transport === 'mqtts' || endpoint.transport === 'wss'
}

/**
 * The TLS options for one attempt. The files are read here, so that a renewed certificate is in force at the
 * next connect. Throws `BridgeError` TLS_FILE_UNREADABLE.
 */
export function tlsOptions(config: TlsConfig, host: string): ConnectionOptions {
  const name = withoutTrailingDot(config.serverName ?? host)
  return {
    secureContext: secureContext(config),
    // An address is no legal SNI value (RFC 6066, 3).
    ...(isIP(name) === 0 && { servername: name }),
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
  }
}

/** What the client library is told for one attempt. */
export interface ClientSetup {
  readonly dialect: Dialect
  /** Greatest topic alias the tap resolves; 0 = none. */
  readonly topicAliasMaximum: number
  /** The packet ids that belong to the library. */
  readonly packetIds: { readonly first: number; readonly last: number }
}

/**
 * The options of the client library for one attempt; reads the password anew. Reconnecting, storing and
 * resubscribing are switched off: the session does the first, the tap the second, the owner the third.
 * Throws `BridgeError` SECRET_UNREADABLE.
 */
export function clientOptions(config: MqttConfig, setup: ClientSetup): IClientOptions {
  const { protocolVersion } = setup.dialect
  const password = config.password?.read()
  return {
    protocolId: 'MQTT',
    protocolVersion,
    clientId: config.clientId,
    // In 3.1.1 a session lives either as long as its connection or for ever.
    clean: protocolVersion === 4 && config.sessionExpiry === 0,
    keepalive: config.keepalive,
    reconnectPeriod: 0,
    manualConnect: true,
    resubscribe: false,
    queueQoSZero: false,
    connectTimeout: config.connectTimeout,
    timerVariant: 'native',
    messageIdProvider: new PacketIds(setup.packetIds.first, setup.packetIds.last),
    // Its default formats every packet for `debug`, also when nobody listens.
    log: () => undefined,
    ...(config.username !== undefined && { username: config.username }),
    ...(password !== undefined && { password }),
    ...(protocolVersion === 5 && { properties: connectProperties(config, setup) }),
  }
}

// No Maximum Packet Size is announced: a broker drops what is larger without a word [MQTT-3.1.2-25], while
// the tap can count it.
function connectProperties(
  config: MqttConfig,
  setup: ClientSetup,
): NonNullable<IClientOptions['properties']> {
  return {
    sessionExpiryInterval: config.sessionExpiry,
    receiveMaximum: Math.min(Math.max(config.window, 1), MAX_RECEIVE_MAXIMUM),
    ...(setup.topicAliasMaximum > 0 && { topicAliasMaximum: setup.topicAliasMaximum }),
  }
}

function secureContext(config: TlsConfig): SecureContext {
  const ca = readTlsFile(config.caFile)
  const cert = readTlsFile(config.certFile)
  const key = readTlsFile(config.keyFile)
  try {
    return createSecureContext({
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    })
  } catch (cause) {
    const files = [config.caFile, config.certFile, config.keyFile].filter((file) => file)
    throw new BridgeError(`using the TLS files '${files.join("', '")}': ${textOf(cause)}`, {
      code: 'TLS_FILE_UNREADABLE',
      cause,
    })
  }
}

function readTlsFile(path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new BridgeError(`reading the TLS file '${path}': ${textOf(cause)}`, {
      code: 'TLS_FILE_UNREADABLE',
      cause,
    })
  }
}

function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

function isTransport(name: string | undefined): name is Endpoint['transport'] {
  return name !== undefined && Object.hasOwn(DEFAULT_PORTS, name)
}

function withoutTrailingDot(host: string): string {
  return host.endsWith('.') ? host.slice(0, -1) : host
}

function withoutUserInfo(url: string): string {
  return url.replace(/\/\/[^/@]*@/, '//')
}
