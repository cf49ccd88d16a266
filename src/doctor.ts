import { exposure } from './announce.ts'
import type { Finding } from './cli/finding.ts'
import { formatSize } from './config/quantities.ts'
import type { BridgeConfig, RouteConfig } from './core/config.ts'
import { toBridgeError } from './core/errors.ts'
import type { Clock, LinkReport, Logger, Side } from './core/ports.ts'
import { wildcardsIntersect } from './mapping/filters.ts'
import { compileRoutes, type RouteTable } from './mapping/route-table.ts'
import { type MqttProbe, probeMqtt } from './mqtt/probe.ts'
import { type NatsProbe, probeNats } from './nats/probe.ts'
import type { StreamFacts } from './nats/streams.ts'

/** What a visit to both sides needs. */
export interface DoctorDeps {
  readonly logger: Logger
  readonly clock: Clock
}

/** Milliseconds each side has. */
const PATIENCE = 10_000
const DAY = 86_400
/** What ends within this many days is said. */
const SOON_DAYS = 30
/** Oldest nats-server whose consumers take several filters. */
const OLDEST_NATS = [2, 10] as const

/** Dials both sides as the bridge would, reports what each really offers, and leaves again. */
export async function examine(config: BridgeConfig, deps: DoctorDeps): Promise<Finding[]> {
  const { table } = compileRoutes(config.routes)
  const filters = table.subscriptions('mqttToNats').map(({ address }) => address)
  const patience = PATIENCE
  const [mqtt, nats] = await Promise.all([
    config.mqtt.useEmbedded
      ? undefined
      : probeMqtt(config.mqtt, { ...deps, filters, patience }).catch(toBridgeError),
    probeNats(config.nats, { ...deps, patience }).catch(toBridgeError),
  ])
  const now = deps.clock.now() / 1000
  return [
    ...(mqtt === undefined ? [embedded(config)] : judged('mqtt', mqtt, (p) => judgeMqtt(p, now))),
    ...judged('nats', nats, (probe) => judgeNats(probe, config, table, now)),
    ...(mqtt !== undefined && 'facts' in mqtt && 'facts' in nats ? sizes(mqtt, nats) : []),
    ...exposure(config).map(({ side, text }) => finding(side, 'warning', text)),
  ]
}

/** The streams the server has now. Throws what keeps them from being known. */
export async function currentStreams(
  config: BridgeConfig,
  deps: DoctorDeps,
): Promise<readonly StreamFacts[]> {
  const { streams = [] } = await probeNats(config.nats, { ...deps, patience: PATIENCE })
  return streams
}

function judged<Probe extends { readonly facts: object }>(
  side: Side,
  probe: Probe | ReturnType<typeof toBridgeError>,
  judge: (probe: Probe) => Finding[],
): Finding[] {
  return 'facts' in probe
    ? judge(probe)
    : [finding(side, 'problem', `${probe.code}: ${probe.message}`, probe.hint)]
}

function embedded({ mqtt }: BridgeConfig): Finding {
  return finding('mqtt', 'ok', `the embedded broker, on ${mqtt.embedded.listen} while it runs`)
}

function judgeMqtt({ facts, report, refused, brokerVersion }: MqttProbe, now: number): Finding[] {
  const ok = (text: string) => finding('mqtt', 'ok', text)
  const warn = (text: string, advice: string) => finding('mqtt', 'warning', text, advice)
  const found = [ok(`connected to ${facts.server}, ${report.protocol}${named(brokerVersion)}`)]
  if (facts.protocolVersion === 4) {
    found.push(
      warn(
        `MQTT 3.1.1: no properties, no reasons${facts.bridgeMode ? '; in bridge mode' : ''}`,
        'use a broker that speaks MQTT 5, or set mqtt.protocolVersion to 4 to save the attempt',
      ),
    )
  }
  found.push(...tlsOf('mqtt', report, now))
  const packet = Number.isFinite(facts.maximumPacketSize)
    ? formatSize(facts.maximumPacketSize)
    : 'unlimited'
  found.push(
    ok(
      `receive maximum ${facts.receiveMaximum}, largest packet ${packet}, topic aliases ${facts.topicAliasMaximum}, QoS up to ${facts.maximumQos}, keepalive ${facts.keepalive}s`,
    ),
  )
  if (!facts.retainAvailable) {
    found.push(warn('retained messages are not available', 'enable them in the broker'))
  }
  if (facts.maximumQos === 0) {
    found.push(warn('QoS 0 only: messages may be lost', 'enable QoS 1 in the broker'))
  }
  if (!facts.wildcardAvailable) {
    const advice = 'enable wildcard subscriptions in the broker, or name each topic in a route'
    found.push(finding('mqtt', 'problem', 'wildcard subscriptions are not available', advice))
  }
  if (!facts.subscriptionIdentifiersAvailable) {
    found.push(ok('no subscription identifiers: overlapping filters are widened instead'))
  }
  found.push(
    refused === ''
      ? ok('all filters of the routes were granted')
      : finding('mqtt', 'problem', refused, 'allow the bridge user to read them in the broker ACL'),
  )
  if (/mosquitto/i.test(brokerVersion)) found.push(mosquittoQueue())
  return found
}

/** MQTT has no way to ask for the limit, so the default is what is warned of. */
function mosquittoQueue(): Finding {
  return finding(
    'mqtt',
    'warning',
    'Mosquitto keeps 1000 messages for a bridge that is away unless told otherwise, and drops the rest, also of QoS 1',
    'set max_queued_messages 0 (or a bound that fits the longest outage) and persistence true in mosquitto.conf',
  )
}

function judgeNats(
  probe: NatsProbe,
  { nats, routes }: BridgeConfig,
  table: RouteTable,
  now: number,
): Finding[] {
  const { facts, report, claims } = probe
  const ok = (text: string) => finding('nats', 'ok', text)
  const warn = (text: string, advice: string) => finding('nats', 'warning', text, advice)
  const cluster = facts.cluster === '' ? '' : `, cluster ${facts.cluster}`
  const found = [ok(`connected to ${facts.server}, nats-server ${facts.version}${cluster}`)]
  if (isOld(facts.version)) {
    found.push(
      warn(
        `nats-server ${facts.version} is older than 2.10`,
        'upgrade it: streams are read by consumers of 2.10',
      ),
    )
  }
  found.push(...tlsOf('nats', report, now))
  found.push(
    ok(`max_payload ${formatSize(facts.maxPayload)}: larger messages are dropped as tooLarge`),
  )
  if (!facts.headers) {
    found.push(finding('nats', 'problem', 'headers are off', 'set no_header_support to false'))
  }
  if (claims !== undefined) {
    const types = claims.connectionTypes
    const allowed = types.length === 0 ? 'any connection type' : types.join(', ')
    const bearer = claims.bearer ? 'bearer' : 'with seed'
    found.push(ok(`user JWT of account ${nats.account ?? claims.account}, ${bearer}, ${allowed}`))
    found.push(...expiryOf('nats', 'the user JWT', claims.expiry, now))
  }
  if (probe.streams === undefined) {
    const insists = routes.some(({ delivery }) => delivery === 'durable')
    const { text = '' } = probe.withoutStreams ?? {}
    const advice = 'enable JetStream for the account, and allow the user $JS.API.>'
    const level = insists ? 'problem' : 'warning'
    return [...found, finding('nats', level, `no JetStream: ${text}; nothing is durable`, advice)]
  }
  found.push(ok(`JetStream, ${count(probe.streams.length, 'stream')} that can take part`))
  for (const [index, route] of routes.entries()) {
    found.push(...judgeRoute(route, probe.streams, table.wildcardsOf(index)))
  }
  return found
}

function judgeRoute(
  route: RouteConfig,
  streams: readonly StreamFacts[],
  wildcards: readonly string[],
): Finding[] {
  if (route.delivery === 'live' || route.delivery === 'confirmed' || route.class === 'live')
    return []
  const taking = streams.filter(({ subjects }) =>
    subjects.some((one) => wildcards.some((two) => wildcardsIntersect(one, two) !== undefined)),
  )
  const name = `route ${route.name}`
  if (taking.length === 0 && route.delivery === 'durable') {
    const advice = `create a stream for ${wildcards.join(', ')}, or use delivery: auto`
    return [finding('nats', 'problem', `${name}: durable, and no stream covers it`, advice)]
  }
  if (taking.length === 0) return [finding('nats', 'ok', `${name}: confirmed, no stream covers it`)]
  const names = taking.map((stream) => stream.name).join(', ')
  return [
    finding('nats', 'ok', `${name}: durable through ${names}`),
    ...taking.flatMap((stream) => judgeStream(name, stream)),
  ]
}

function judgeStream(route: string, stream: StreamFacts): Finding[] {
  const warn = (text: string, advice: string) =>
    finding('nats', 'warning', `${route}: stream ${stream.name} ${text}`, advice)
  const found: Finding[] = []
  if (stream.full === 'new') {
    const text = 'refuses messages when it is full (discard new), which stops the MQTT side'
    found.push(warn(text, 'give it room, or set discard old'))
  }
  if (!stream.acknowledges) {
    found.push(warn('answers nothing (no_ack), so nothing is durable in it', 'set no_ack to false'))
  }
  if (stream.retention === 'workqueue') {
    found.push(
      warn(
        'is a work queue: it is written but not read by the bridge',
        'use limits retention to read it',
      ),
    )
  }
  return found
}

/** Both sides have a largest message; what lies between them does not cross. */
function sizes(mqtt: MqttProbe, nats: NatsProbe): Finding[] {
  const { maximumPacketSize } = mqtt.facts
  if (maximumPacketSize >= nats.facts.maxPayload) return []
  const text = `the broker takes packets up to ${formatSize(maximumPacketSize)}, NATS messages may have ${formatSize(nats.facts.maxPayload)}`
  return [finding('mqtt', 'warning', text, 'raise the maximum packet size of the broker')]
}

function tlsOf(side: Side, report: LinkReport, now: number): Finding[] {
  if (report.tlsVersion === '') return [finding(side, 'ok', 'no TLS')]
  return [
    finding(side, 'ok', `${report.tlsVersion}`),
    ...expiryOf(side, 'the server certificate', report.serverCertNotAfter, now),
  ]
}

/** @param end seconds since the epoch, 0 = never or unknown */
function expiryOf(side: Side, what: string, end: number, now: number): Finding[] {
  if (end === 0) return []
  const days = Math.floor((end - now) / DAY)
  const text = `${what} ends ${new Date(end * 1000).toISOString().slice(0, 10)}, in ${count(days, 'day')}`
  return days < SOON_DAYS
    ? [finding(side, 'warning', text, 'renew it; a new file is taken over without a restart')]
    : [finding(side, 'ok', text)]
}

function isOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major < OLDEST_NATS[0] || (major === OLDEST_NATS[0] && minor < OLDEST_NATS[1])
}

function finding(side: Side, level: Finding['level'], text: string, advice = ''): Finding {
  return { side, level, text, advice }
}

function named(version: string): string {
  return version === '' ? '' : `, ${version}`
}

function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? '' : 's'}`
}
