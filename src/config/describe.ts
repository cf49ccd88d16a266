import type { BridgeConfig, NatsConfig, RouteConfig, Secret, TlsConfig } from '../core/config.ts'
import { EMBEDDED, formatListen } from './addresses.ts'
import { formatDuration, formatSize } from './quantities.ts'
import { REDACTED } from './secret.ts'

/** A part of a configuration as it is shown. */
export interface Described {
  readonly [key: string]: unknown
}

/**
 * The configuration in the words of a configuration file, for people to read: durations and sizes with units,
 * secrets as `[redacted]` or as the file they are in.
 */
export function describeConfig(config: BridgeConfig): Described {
  const { mqtt, http, log } = config
  return {
    mqtt: compact({
      url: mqttUrl(config),
      protocolVersion: mqtt.protocolVersion,
      clientId: mqtt.clientId,
      username: mqtt.username,
      ...secret('password', mqtt.password),
      tls: { ...mqtt.tls },
      keepalive: formatDuration(mqtt.keepalive * 1000),
      sessionExpiry: formatDuration(mqtt.sessionExpiry * 1000),
      connectTimeout: formatDuration(mqtt.connectTimeout),
      window: mqtt.window,
      maxPacketSize: formatSize(mqtt.maxPacketSize),
      embedded: mqtt.useEmbedded ? { ...mqtt.embedded } : undefined,
    }),
    nats: describeNats(config.nats),
    routes: config.routes.map(describeRoute),
    http: { listen: http === undefined ? 'off' : formatListen(http) },
    log: { ...log },
    shutdownTimeout: formatDuration(config.shutdownTimeout),
  }
}

/** Every file that the configuration depends on: itself, secrets, certificates, keys and users. */
export function filesOf(config: BridgeConfig, file?: string): readonly string[] {
  const { mqtt, nats } = config
  const secrets: readonly (Secret | undefined)[] = [mqtt.password, ...natsSecrets(nats)]
  const embedded = mqtt.useEmbedded ? mqtt.embedded : undefined
  const files = [
    file,
    ...secrets.map((one) => one?.file),
    ...tlsFiles(mqtt.tls),
    ...tlsFiles(nats.tls ?? {}),
    ...[embedded?.usersFile, embedded?.certFile, embedded?.keyFile],
  ]
  return [...new Set(files.filter((one) => one !== undefined))]
}

function mqttUrl({ mqtt }: BridgeConfig): unknown {
  if (mqtt.useEmbedded) return EMBEDDED
  return mqtt.urls.length === 1 ? mqtt.urls[0] : [...mqtt.urls]
}

function describeNats(nats: NatsConfig): Described {
  const { auth } = nats
  return compact({
    servers: [...nats.servers],
    tls: nats.tls === undefined ? undefined : { ...nats.tls },
    auth: compact({
      ...secret('jwt', auth.jwt),
      ...secret('seed', auth.seed),
      ...secret('creds', auth.creds),
      username: auth.username,
      ...secret('password', auth.password),
      ...secret('token', auth.token),
    }),
    account: nats.account,
    name: nats.name,
    connectTimeout: formatDuration(nats.connectTimeout),
    pingInterval: formatDuration(nats.pingInterval),
    window: nats.window,
    windowBytes: formatSize(nats.windowBytes),
  })
}

function describeRoute(route: RouteConfig): Described {
  const { startAt, ttl } = route
  return compact({
    ...route,
    exclude: [...route.exclude],
    ttl: ttl === undefined ? undefined : formatDuration(ttl),
    startAt: typeof startAt === 'object' ? Object.values(startAt)[0] : startAt,
  })
}

function secret(name: string, value: Secret | undefined): Described {
  if (value === undefined) return {}
  return value.file === undefined ? { [name]: REDACTED } : { [`${name}File`]: value.file }
}

function natsSecrets({ auth }: NatsConfig): readonly (Secret | undefined)[] {
  return [auth.jwt, auth.seed, auth.creds, auth.password, auth.token]
}

function tlsFiles({ caFile, certFile, keyFile }: TlsConfig): readonly (string | undefined)[] {
  return [caFile, certFile, keyFile]
}

function compact(described: Described): Described {
  const isGiven = ([, value]: readonly [string, unknown]) => value !== undefined
  return Object.fromEntries(Object.entries(described).filter(isGiven))
}
