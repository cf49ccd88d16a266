import { nearest } from './nearest.ts'

/** What people write for a setting who know it under another name, by the path of the setting. */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  'mqtt.url': [
    ...['server', 'servers', 'broker', 'brokers', 'host', 'hostname', 'address', 'endpoint'],
    ...['uri', 'urls', 'port', 'brokerUrl', 'serverUrl'],
  ].map((name) => `mqtt.${name}`),
  'mqtt.username': ['mqtt.user', 'mqtt.login', 'mqtt.auth'],
  'mqtt.password': ['mqtt.pass', 'mqtt.secret'],
  'mqtt.protocolVersion': ['mqtt.version', 'mqtt.protocol'],
  'mqtt.sessionExpiry': ['mqtt.clean', 'mqtt.cleanSession', 'mqtt.cleanStart'],
  'mqtt.window': ['mqtt.receiveMaximum', 'mqtt.maxInflight'],
  'mqtt.tls': ['mqtt.ssl'],
  'nats.servers': ['host', 'hostname', 'address', 'broker', 'brokers', 'uri', 'url', 'urls', 'port']
    .map((name) => `nats.${name}`)
    .concat('nats.cluster'),
  'nats.auth.credsFile': ['nats.credentials', 'nats.credentialsFile', 'nats.auth.credentials'],
  'nats.auth.username': ['nats.user', 'nats.auth.user'],
  'nats.auth.password': ['nats.pass', 'nats.auth.pass'],
  'nats.auth.seed': ['nats.nkey', 'nats.auth.nkey', 'nats.nkeySeed'],
  'nats.tls': ['nats.ssl'],
  'nats.tls.handshakeFirst': ['nats.tls.first'],
  routes: ['route', 'topics', 'mappings', 'rules', 'bridge'],
  'http.listen': ['http.port', 'http.host', 'http.address', 'http.bind', 'metrics', 'health'],
  'log.level': ['logLevel', 'logging', 'loglevel', 'verbose', 'debug'],
  shutdownTimeout: ['drainTimeout', 'shutdown', 'gracePeriod'],
  'routes[].pattern': ['topic', 'filter', 'subject'].map((name) => `routes[].${name}`),
  'routes[].mqttPrefix': ['routes[].localPrefix', 'routes[].prefix'],
  'routes[].natsPrefix': ['routes[].remotePrefix', 'routes[].subjectPrefix'],
}

/** What there is around a key that is no setting. */
export interface KeySpace {
  /** Path of the section the key stands in; empty at the top, `routes[]` in a route. */
  readonly section: string
  /** Names that may stand there. */
  readonly siblings: readonly string[]
  /** Every path there is, settings and sections. */
  readonly paths: readonly string[]
}

/** Says of a key that it is no setting and which was probably meant: a synonym, a sibling, a key of that name elsewhere. */
export function unknownKey(key: string, space: KeySpace): string {
  const meant = synonym(key, space) ?? sibling(key, space) ?? elsewhere(key, space)
  if (meant !== undefined) {
    return `is not a setting; did you mean ${meant.replace('routes[].', '')}?`
  }
  const where =
    space.section === '' ? 'the top level' : space.section.replace('routes[]', 'a route')
  return `is not a setting; ${where} has ${space.siblings.join(', ')}`
}

function synonym(key: string, { section }: KeySpace): string | undefined {
  const written = join(section, key).toLowerCase()
  const isMeant = (path: string) => SYNONYMS[path]?.some((name) => name.toLowerCase() === written)
  return Object.keys(SYNONYMS).find(isMeant)
}

function sibling(key: string, { section, siblings }: KeySpace): string | undefined {
  const name = nearest(key, siblings)
  return name === undefined ? undefined : join(section, name)
}

function elsewhere(key: string, { section, paths }: KeySpace): string | undefined {
  const ending = `.${key.toLowerCase()}`
  const found = paths.filter((path) => path.toLowerCase().endsWith(ending))
  return found.find((path) => path.startsWith(`${section}.`)) ?? found[0]
}

function join(section: string, key: string): string {
  return section === '' ? key : `${section}.${key}`
}
