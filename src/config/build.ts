import type {
  BridgeConfig,
  EmbeddedConfig,
  MqttConfig,
  NatsConfig,
  NatsTlsConfig,
  TlsConfig,
} from '../core/config.ts'
import { EMBEDDED, formatListen } from './addresses.ts'
import { type Checks, mqttLogin, natsLogin, type Resolve } from './auth.ts'
import type { SettingPath, Values } from './schema.ts'

const PAIRS: readonly (readonly [certificate: SettingPath, key: SettingPath])[] = [
  ['mqtt.tls.certFile', 'mqtt.tls.keyFile'],
  ['mqtt.embedded.certFile', 'mqtt.embedded.keyFile'],
  ['nats.tls.certFile', 'nats.tls.keyFile'],
]

const MQTT_TLS: readonly SettingPath[] = [
  'mqtt.tls.caFile',
  'mqtt.tls.certFile',
  'mqtt.tls.keyFile',
  'mqtt.tls.serverName',
]

/** Reports certificates without key, keys without certificate, and TLS settings that would have no effect. */
export function checkTls(checks: Checks): void {
  for (const [certificate, key] of PAIRS) {
    if (checks.isSet(certificate) === checks.isSet(key)) continue
    const [set, missing] = checks.isSet(certificate) ? [certificate, key] : [key, certificate]
    checks.report(set, `is given without ${missing}: certificate and key go together`)
  }
  const url = checks.values['mqtt.url']
  const setting = MQTT_TLS.find((path) => checks.isSet(path))
  if (setting === undefined || url === undefined || url === EMBEDDED) return
  if (url.some(({ secure }) => secure)) return
  checks.report(
    setting,
    'has no effect, because mqtt.url asks for no TLS: write mqtts:// or wss://',
  )
}

/**
 * Makes the configuration of values that passed every check.
 *
 * @param hasNatsTls whether a `nats.tls` section or any setting of it is present
 */
export function buildConfig(values: Values, hasNatsTls: boolean, resolve: Resolve): BridgeConfig {
  const http = values['http.listen']
  return {
    mqtt: mqttConfig(values, resolve),
    nats: natsConfig(values, hasNatsTls, resolve),
    routes: values.routes,
    http: http === 'off' ? undefined : http,
    log: { level: values['log.level'], format: values['log.format'] },
    shutdownTimeout: values.shutdownTimeout,
  }
}

function mqttConfig(values: Values, resolve: Resolve): MqttConfig {
  const url = values['mqtt.url']
  return {
    urls: url === EMBEDDED ? [] : url.map((endpoint) => endpoint.url),
    useEmbedded: url === EMBEDDED,
    protocolVersion: values['mqtt.protocolVersion'],
    clientId: values['mqtt.clientId'],
    ...mqttLogin(values, resolve),
    tls: tlsConfig(values, 'mqtt.tls', resolve),
    keepalive: values['mqtt.keepalive'],
    sessionExpiry: values['mqtt.sessionExpiry'],
    connectTimeout: values['mqtt.connectTimeout'],
    window: values['mqtt.window'],
    maxPacketSize: values['mqtt.maxPacketSize'],
    embedded: embeddedConfig(values, resolve),
  }
}

function embeddedConfig(values: Values, resolve: Resolve): EmbeddedConfig {
  return {
    listen: formatListen(values['mqtt.embedded.listen']),
    ...file('usersFile', 'mqtt.embedded.usersFile', values, resolve),
    ...file('certFile', 'mqtt.embedded.certFile', values, resolve),
    ...file('keyFile', 'mqtt.embedded.keyFile', values, resolve),
  }
}

function natsConfig(values: Values, hasTls: boolean, resolve: Resolve): NatsConfig {
  const servers = values['nats.servers']
  const account = values['nats.account']
  const tls: NatsTlsConfig = {
    ...tlsConfig(values, 'nats.tls', resolve),
    handshakeFirst: values['nats.tls.handshakeFirst'],
  }
  return {
    servers: servers.map(({ url }) => url),
    ...(hasTls || servers.some(({ secure }) => secure) ? { tls } : {}),
    auth: natsLogin(values, resolve),
    ...(account === undefined ? {} : { account }),
    name: values['nats.name'] ?? values['mqtt.clientId'],
    connectTimeout: values['nats.connectTimeout'],
    pingInterval: values['nats.pingInterval'],
    window: values['nats.window'],
    windowBytes: values['nats.windowBytes'],
  }
}

function tlsConfig(values: Values, section: 'mqtt.tls' | 'nats.tls', resolve: Resolve): TlsConfig {
  // A trailing dot says "absolute" to DNS only; in SNI and certificates it is an error.
  const serverName = values[`${section}.serverName`]?.replace(/\.$/, '')
  return {
    ...file('caFile', `${section}.caFile`, values, resolve),
    ...file('certFile', `${section}.certFile`, values, resolve),
    ...file('keyFile', `${section}.keyFile`, values, resolve),
    ...(serverName === undefined ? {} : { serverName }),
  }
}

type FilePath = Extract<SettingPath, `${string}.${'ca' | 'cert' | 'key' | 'users'}File`>

function file<K extends string>(
  key: K,
  path: FilePath,
  values: Values,
  resolve: Resolve,
): { readonly [P in K]?: string } {
  const value = values[path]
  return value === undefined ? {} : ({ [key]: resolve(path, value) } as { [P in K]: string })
}
