import { accept, anyOf, type Format, type Mistake, type Parsed, refuse, show } from './formats.ts'

/** One server to dial, its user info set apart. */
export interface Endpoint {
  /** `scheme://host:port`, with the path for WebSockets; without user info. */
  readonly url: string
  readonly scheme: string
  /** True when the scheme asks for TLS. */
  readonly secure: boolean
  readonly username?: string
  readonly password?: string
}

/** What a scheme stands for. */
export interface Scheme {
  readonly port: number
  readonly secure: boolean
  /** Whether a path may follow the port. */
  readonly hasPath: boolean
}

/** Schemes of MQTT brokers. */
export const MQTT_SCHEMES: Readonly<Record<string, Scheme>> = {
  mqtt: { port: 1883, secure: false, hasPath: false },
  mqtts: { port: 8883, secure: true, hasPath: false },
  ws: { port: 80, secure: false, hasPath: true },
  wss: { port: 443, secure: true, hasPath: true },
}

/** Schemes of NATS servers. */
export const NATS_SCHEMES: Readonly<Record<string, Scheme>> = {
  nats: { port: 4222, secure: false, hasPath: false },
  tls: { port: 4222, secure: true, hasPath: false },
}

/** The value of `mqtt.url` that runs the broker inside. */
export const EMBEDDED = 'embedded'

/** One or several server URLs. Mistakes never repeat a URL: it may hold a password. */
export function addresses(
  schemes: Readonly<Record<string, Scheme>>,
  example: string,
): Format<readonly Endpoint[]> {
  const names = Object.keys(schemes)
  const syntax = `a URL such as ${example}, or a list of them`
  const one = { type: 'string', pattern: `^(${names.join('|')})://` }
  return {
    name: 'addresses',
    syntax,
    schema: { anyOf: [one, { type: 'array', items: one, minItems: 1 }] },
    parse: (value) => parseList(value, (item) => parseEndpoint(item, schemes, example), syntax),
  }
}

/** As {@link addresses}, or the word `embedded` alone. */
export function addressesOrEmbedded(
  schemes: Readonly<Record<string, Scheme>>,
  example: string,
): Format<readonly Endpoint[] | typeof EMBEDDED> {
  const inner = addresses(schemes, example)
  const alone = (value: unknown) => Array.isArray(value) && value.length === 1 && value[0]
  return {
    ...inner,
    syntax: `${inner.syntax}, or ${EMBEDDED}`,
    schema: { anyOf: [{ const: EMBEDDED }, ...(inner.schema['anyOf'] as [])] },
    parse: (value) =>
      value === EMBEDDED || alone(value) === EMBEDDED ? accept(EMBEDDED) : inner.parse(value),
  }
}

/** Splits a comma list of URLs; a comma inside a URL stays. */
export function splitAddresses(text: string): string[] {
  return text
    .split(/,\s*(?=[a-z][a-z0-9+.-]*:\/\/)/i)
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function parseList<T>(
  value: unknown,
  parse: (item: unknown) => Parsed<T>,
  syntax: string,
): Parsed<readonly T[]> {
  const items: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (items.length === 0) return refuse(`is an empty list: write ${syntax}`)
  const values: T[] = []
  const mistakes: Mistake[] = []
  items.forEach((item, index) => {
    const parsed = parse(item)
    const at = items.length > 1 ? `[${index}]` : ''
    if (parsed.ok) values.push(parsed.value)
    else mistakes.push(...parsed.mistakes.map((mistake) => ({ at, text: mistake.text })))
  })
  return mistakes.length > 0 ? { ok: false, mistakes } : accept(values)
}

function parseEndpoint(
  value: unknown,
  schemes: Readonly<Record<string, Scheme>>,
  example: string,
): Parsed<Endpoint> {
  if (typeof value !== 'string') return refuse(`is not text: write a URL such as ${example}`)
  if (value === EMBEDDED) return refuse(`${EMBEDDED} stands alone: write it without other servers`)
  const name = /^([a-z][a-z0-9+.-]*):\/\//i.exec(value)?.[1]?.toLowerCase()
  if (name === undefined) return refuse(`has no scheme: write a URL such as ${example}`)
  const scheme = Object.hasOwn(schemes, name) ? schemes[name] : undefined
  if (scheme === undefined) {
    const known = anyOf(Object.keys(schemes).map((key) => `${key}://`))
    return refuse(`'${name.slice(0, 20)}://' is not spoken here: write ${known}`)
  }
  const url = parseUrl(value)
  if (url === undefined) return refuse(`is not a valid URL: write one such as ${example}`)
  return endpointOf(url, name, scheme, example)
}

function endpointOf(url: URL, name: string, scheme: Scheme, example: string): Parsed<Endpoint> {
  const host = url.hostname.replace(/\.+$/, '')
  if (host === '') return refuse(`names no host: write a URL such as ${example}`)
  if (url.port === '0') return refuse('has port 0: write a port from 1 to 65535, or none')
  if (url.search !== '' || url.hash !== '') {
    return refuse(`has a query or fragment, which is not used: write a URL such as ${example}`)
  }
  const path = url.pathname === '/' ? '' : url.pathname
  if (path !== '' && !scheme.hasPath) {
    return refuse(`has a path, which ${name}:// does not: write a URL such as ${example}`)
  }
  const username = decoded(url.username)
  const password = decoded(url.password)
  if (username === undefined || password === undefined) {
    return refuse('has user info that is not percent-encoded rightly: write % as %25')
  }
  return accept({
    url: `${name}://${host}:${url.port === '' ? scheme.port : url.port}${path}`,
    scheme: name,
    secure: scheme.secure,
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
  })
}

function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text)
  } catch {
    return undefined
  }
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** Where to listen. */
export interface ListenAddress {
  /** Host name or address; IPv6 without brackets. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
}

/** An address to listen on, `host:port`; IPv6 in brackets. */
export function listen(): Format<ListenAddress> {
  const syntax = 'host:port, such as 127.0.0.1:8080 (0.0.0.0 for every interface)'
  return {
    name: 'listen',
    syntax,
    schema: { type: 'string', pattern: '^(\\[[0-9A-Fa-f:.]+\\]|[^:\\s/]+):[0-9]{1,5}$' },
    parse: (value) => {
      const match = /^(?:\[([0-9a-f:.]+)\]|([^:\s/]+)):([0-9]{1,5})$/i.exec(asText(value))
      const host = match?.[1] ?? match?.[2]
      const port = Number(match?.[3])
      if (host === undefined) return refuse(`${show(value)} is no address: write ${syntax}`)
      if (port > 65535) return refuse(`${show(value)} has no such port: write one up to 65535`)
      return accept({ host, port })
    },
  }
}

/** As {@link listen}, or `off`. */
export function listenOrOff(): Format<ListenAddress | 'off'> {
  const inner = listen()
  return {
    ...inner,
    syntax: `${inner.syntax}, or off`,
    schema: { anyOf: [{ const: 'off' }, inner.schema] },
    parse: (value) => {
      if (value === 'off') return accept('off')
      const parsed = inner.parse(value)
      return parsed.ok ? parsed : refuse(`${parsed.mistakes[0]?.text}, or off`)
    },
  }
}

/** `host:port` of an address, IPv6 in brackets. */
export function formatListen(address: ListenAddress): string {
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
