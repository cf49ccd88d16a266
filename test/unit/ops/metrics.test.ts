import { describe, expect, it } from 'vitest'
import { DROP_REASONS, DURATION_BOUNDS } from '../../../src/core/books.ts'
import { BridgeError } from '../../../src/core/errors.ts'
import type { BridgeReport } from '../../../src/core/status.ts'
import { METRICS, Metrics } from '../../../src/ops/metrics.ts'
import { type Family, parseExposition } from './exposition-parser.ts'
import { NOW, route, sampleExtras, sampleReport } from './sample-report.ts'

/** What Prometheus 3 sends. */
const PROMETHEUS_ACCEPT =
  'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2'

function metricsOf(report: BridgeReport, extras = sampleExtras()): Metrics {
  return new Metrics(() => report, extras)
}

async function scrape(metrics: Metrics): Promise<Map<string, Family>> {
  return parseExposition((await metrics.render()).body, 'prometheus')
}

/** Value of the one series with these labels; undefined when it is not there. */
function seriesValue(
  families: Map<string, Family>,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const family = [...families.values()].find(
    (each) => each.name === name || each.samples.some((sample) => sample.name === name),
  )
  const found = family?.samples.filter(
    (sample) =>
      sample.name === name &&
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  )
  if (found !== undefined && found.length > 1)
    throw new Error(`${name}: ${found.length} series fit`)
  return found?.[0]?.value
}

const SENSORS = { direction: 'mqtt_to_nats', route: 'sensors' }

describe('the metrics page', () => {
  it('is strictly valid Prometheus text, the figures of the process included', async () => {
    const metrics = metricsOf(sampleReport())
    metrics.start()
    metrics.start()
    const { contentType, body } = await metrics.render()
    expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
    const families = parseExposition(body, 'prometheus')
    expect([...families.keys()]).toEqual(expect.arrayContaining(METRICS.map(({ name }) => name)))
    expect(seriesValue(families, 'process_resident_memory_bytes')).toBeGreaterThan(0)
    expect([...families.keys()]).toContain('nodejs_eventloop_lag_p99_seconds')
  })

  it('is strictly valid OpenMetrics when that is asked for, and plain text again afterwards', async () => {
    const metrics = metricsOf(sampleReport())
    metrics.start()
    const { contentType, body } = await metrics.render(PROMETHEUS_ACCEPT)
    expect(contentType).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
    const families = parseExposition(body, 'openmetrics')
    expect(families.get('mqttnats_messages_received')?.type).toBe('counter')
    expect(seriesValue(families, 'mqttnats_log_messages_total', { level: 'info' })).toBe(5)
    expect((await scrape(metrics)).get('mqttnats_messages_received_total')?.type).toBe('counter')
  })

  it.each([
    ['nothing', ''],
    ['anything', '*/*'],
    ['a browser', 'text/html,application/xhtml+xml,*/*;q=0.8'],
    ['text first', 'text/plain;q=0.9,application/openmetrics-text;q=0.1'],
    ['OpenMetrics refused', 'application/openmetrics-text;q=0'],
  ])('answers in plain text to a client that accepts %s', async (_, accept) => {
    const { contentType } = await metricsOf(sampleReport()).render(accept)
    expect(contentType).toMatch(/^text\/plain/)
  })

  it('has a help, known labels and a lawful name for every metric', async () => {
    const report = sampleReport()
    report.flows = report.flows.map((flow) => ({ ...flow, oldestSeconds: 2 }))
    const families = await scrape(metricsOf(report))
    for (const { name, labels, type } of METRICS) {
      const family = families.get(name)
      expect(family?.type, name).toBe(type)
      expect(family?.samples.length, name).toBeGreaterThan(0)
      for (const sample of family?.samples ?? []) {
        const { le: _, ...own } = sample.labels
        expect(Object.keys(own).sort(), name).toEqual([...labels].sort())
      }
    }
    expect(new Set(METRICS.map(({ name }) => name)).size).toBe(METRICS.length)
  })

  it('escapes what a route name may hold', async () => {
    const report = sampleReport()
    report.routes = [route('a"b\\c\nd', 'mqttToNats')]
    const families = await scrape(metricsOf(report))
    expect(seriesValue(families, 'mqttnats_received_bytes_total', { route: 'a"b\\c\nd' })).toBe(0)
  })
})

describe('message metrics', () => {
  it('show exactly what the books say, at every scrape anew', async () => {
    const report = sampleReport()
    const metrics = metricsOf(report)
    const books = report.routes[0]!.books
    const received = (families: Map<string, Family>) =>
      seriesValue(families, 'mqttnats_messages_received_total', { ...SENSORS, qos: '1' })
    expect(received(await scrape(metrics))).toBe(0)
    books.received[1] = 2 ** 40
    books.forwarded[1] = 2 ** 40 - 5
    books.filtered = 1
    books.drop('tooLarge')
    books.drop('duplicate')
    books.deadLettered = 1
    books.inFlight = 1
    books.retried = 9
    books.loopsSuppressed = 1
    books.receivedBytes = 1e12
    books.lastForwardedAt = NOW
    const families = await scrape(metrics)
    expect(received(families)).toBe(2 ** 40)
    expect(received(await scrape(metrics))).toBe(2 ** 40)
    const value = (name: string, labels = {}) =>
      seriesValue(families, `mqttnats_${name}`, { ...SENSORS, ...labels })
    expect(value('messages_forwarded_total', { qos: '1' })).toBe(2 ** 40 - 5)
    expect(value('messages_forwarded_total', { qos: '2' })).toBe(0)
    expect(value('messages_filtered_total')).toBe(1)
    expect(value('messages_dropped_total', { reason: 'too_large' })).toBe(1)
    expect(value('messages_dropped_total', { reason: 'duplicate' })).toBeUndefined()
    expect(value('messages_deduplicated_total')).toBe(1)
    expect(value('messages_dead_lettered_total')).toBe(1)
    expect(value('messages_retried_total')).toBe(9)
    expect(value('loops_suppressed_total')).toBe(1)
    expect(value('received_bytes_total')).toBe(1e12)
    expect(value('last_forwarded_timestamp_seconds')).toBe(NOW / 1000)
    expect(
      seriesValue(families, 'mqttnats_messages_received_total', {
        direction: 'nats_to_mqtt',
        route: 'sensors',
        qos: '1',
      }),
    ).toBe(0)
  })

  it('show each drop reason that can occur as 0 from the start, and no other', async () => {
    const report = sampleReport()
    report.routes = [...report.routes, route('(none)', 'mqttToNats')]
    const families = await scrape(metricsOf(report))
    const reasons = (direction: string, name: string): string[] =>
      (families.get('mqttnats_messages_dropped_total')?.samples ?? [])
        .filter(({ labels }) => labels['direction'] === direction && labels['route'] === name)
        .map(({ labels }) => String(labels['reason']))
    expect(reasons('mqtt_to_nats', '(none)')).toEqual(['no_route'])
    expect(reasons('mqtt_to_nats', 'sensors')).toHaveLength(DROP_REASONS.length - 2)
    expect(reasons('mqtt_to_nats', 'sensors')).toContain('no_stream')
    expect(reasons('nats_to_mqtt', 'sensors')).not.toContain('no_stream')
  })

  it('show a reason that was not expected to occur once it does', async () => {
    const report = sampleReport()
    report.routes[1]!.books.drop('noStream')
    const families = await scrape(metricsOf(report))
    const labels = { direction: 'nats_to_mqtt', reason: 'no_stream' }
    expect(seriesValue(families, 'mqttnats_messages_dropped_total', labels)).toBe(1)
  })

  it('show the forward durations as a cumulative histogram', async () => {
    const report = sampleReport()
    const books = report.routes[0]!.books
    for (const seconds of [0.001, 0.0011, 0.3, 99]) books.observe(seconds)
    const families = await scrape(metricsOf(report))
    const name = 'mqttnats_forward_duration_seconds'
    const bucket = (le: string) => seriesValue(families, `${name}_bucket`, { ...SENSORS, le })
    expect(bucket('0.001')).toBe(1)
    expect(bucket('0.002')).toBe(2)
    expect(bucket('0.2')).toBe(2)
    expect(bucket('0.5')).toBe(3)
    expect(bucket('30')).toBe(3)
    expect(bucket('+Inf')).toBe(4)
    expect(seriesValue(families, `${name}_count`, SENSORS)).toBe(4)
    expect(seriesValue(families, `${name}_sum`, SENSORS)).toBeCloseTo(99.3021)
    const buckets = families.get(name)?.samples.filter(({ labels }) => labels['le'] !== undefined)
    expect(buckets).toHaveLength(2 * (DURATION_BOUNDS.length + 1))
  })

  it('put the routes beyond the hundredth name together under other', async () => {
    const report = sampleReport()
    report.routes = Array.from({ length: 105 }, (_, n) => route(`r${n}`, 'mqttToNats'))
    for (const { books } of report.routes) {
      books.received[0] = 2
      books.observe(0.01)
      books.lastForwardedAt = NOW + Number(books.route.slice(1)) * 1000
    }
    const families = await scrape(metricsOf(report))
    const received = families.get('mqttnats_messages_received_total')?.samples ?? []
    expect(received).toHaveLength(101 * 3)
    const other = { direction: 'mqtt_to_nats', route: 'other' }
    expect(seriesValue(families, 'mqttnats_messages_received_total', { ...other, qos: '0' })).toBe(
      10,
    )
    expect(seriesValue(families, 'mqttnats_forward_duration_seconds_count', other)).toBe(5)
    expect(seriesValue(families, 'mqttnats_last_forwarded_timestamp_seconds', other)).toBe(
      NOW / 1000 + 104,
    )
  })

  it('count the routes by state', async () => {
    const report = sampleReport()
    report.routes = [
      route('a', 'mqttToNats'),
      { ...route('b', 'mqttToNats'), streams: [] },
      { ...route('c', 'mqttToNats'), delivery: 'confirmed', streams: [] },
      route('(none)', 'mqttToNats'),
    ]
    const families = await scrape(metricsOf(report))
    const routes = (direction: string, state: string) =>
      seriesValue(families, 'mqttnats_routes', { direction, state })
    expect(routes('mqtt_to_nats', 'active')).toBe(2)
    expect(routes('mqtt_to_nats', 'no_stream')).toBe(1)
    expect(routes('nats_to_mqtt', 'active')).toBe(0)
  })

  it('show windows and back-pressure by direction', async () => {
    const report = sampleReport()
    report.flows = report.flows.map((flow) => ({ ...flow, heldBack: true, oldestSeconds: 4 }))
    const families = await scrape(metricsOf(report))
    const value = (name: string, labels = {}) =>
      seriesValue(families, `mqttnats_${name}`, { direction: 'mqtt_to_nats', ...labels })
    expect(value('inflight_messages')).toBe(3)
    expect(value('inflight_limit_messages')).toBe(1000)
    expect(value('queue_bytes')).toBe(512)
    expect(value('queue_limit_bytes')).toBe(8_388_608)
    expect(value('queue_oldest_message_timestamp_seconds')).toBe(NOW / 1000 - 4)
    expect(value('backpressure_seconds_total', { cause: 'window' })).toBe(1.5)
    expect(value('backpressure_active')).toBe(1)
  })
})

describe('connection metrics', () => {
  it('count failures by code, the usual ones from 0', async () => {
    const report = sampleReport()
    report.links.nats.fail(new BridgeError('x', { code: 'NATS_STALE' }), NOW)
    const families = await scrape(metricsOf(report))
    const failures = (side: string, reason: string) =>
      seriesValue(families, 'mqttnats_connect_failures_total', { side, reason })
    expect(failures('mqtt', 'connect_refused')).toBe(1)
    expect(failures('mqtt', 'mqtt_auth')).toBe(0)
    expect(failures('mqtt', 'nats_auth')).toBeUndefined()
    expect(failures('nats', 'nats_stale')).toBe(1)
  })

  it('say which server is connected, and nothing while none is', async () => {
    const report = sampleReport()
    report.links.mqtt.state = 'waiting'
    report.links.mqtt.rtt = 0
    report.links.mqtt.serverCertNotAfter = 0
    const families = await scrape(metricsOf(report))
    const value = (name: string, side: string) =>
      seriesValue(families, `mqttnats_${name}`, { side })
    expect(value('connection_up', 'mqtt')).toBe(0)
    expect(value('connection_up', 'nats')).toBe(1)
    expect(value('connection_info', 'mqtt')).toBeUndefined()
    expect(families.get('mqttnats_connection_info')?.samples[0]?.labels).toEqual({
      side: 'nats',
      server: 'nats.example:1883',
      server_version: '2.12.3',
      protocol: 'NATS',
      tls_version: 'TLSv1.3',
    })
    expect(value('connection_rtt_seconds', 'mqtt')).toBeUndefined()
    expect(value('tls_certificate_not_after_timestamp_seconds', 'mqtt')).toBeUndefined()
    expect(value('tls_certificate_not_after_timestamp_seconds', 'nats')).toBe(NOW / 1000 + 86_400)
    expect(value('connects_total', 'nats')).toBe(2)
    expect(value('reconnects_total', 'nats')).toBe(1)
  })
})

describe('process metrics', () => {
  it('show build, configuration, credentials and log lines', async () => {
    const families = await scrape(metricsOf(sampleReport()))
    const value = (name: string, labels = {}) => seriesValue(families, `mqttnats_${name}`, labels)
    const build = { version: '1.2.3', revision: 'abc123', nodeversion: process.versions.node }
    expect(value('build_info', build)).toBe(1)
    expect(value('start_time_seconds')).toBe(NOW / 1000 - 60)
    expect(value('ready')).toBe(1)
    expect(value('config_info', { hash: 'f00d' })).toBe(1)
    expect(value('config_last_reload_successful')).toBe(1)
    expect(value('config_last_reload_success_timestamp_seconds')).toBe(NOW / 1000 - 5)
    const jwt = { credential: 'nats_user_jwt', account: 'IOT' }
    expect(value('credential_expiry_timestamp_seconds', jwt)).toBe(NOW / 1000 + 3600)
    expect(value('log_messages_total', { level: 'warn' })).toBe(2)
  })
})

describe('the exposition parser of these tests', () => {
  const good = '# HELP a_total x\n# TYPE a_total counter\na_total{b="c"} 1\n'
  it.each([
    ['a sample without its family', 'a_total 1\n'],
    ['a type without help', '# TYPE a_total counter\na_total 1\n'],
    ['a series twice', `${good}a_total{b="c"} 2\n`],
    ['a family twice', good + good],
    ['a counter without _total', good.replaceAll('a_total', 'a')],
    ['a gauge named _total', good.replace('counter', 'gauge')],
    ['a stranger in the family', `${good}b_total 2\n`],
    ['an open label', good.replace('"c"', '"c')],
    ['a value that is none', good.replace('} 1', '} one')],
    ['a missing line break', good.trimEnd()],
    [
      'shrinking buckets',
      '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\n',
    ],
  ])('refuses %s', (_, text) => {
    expect(() => parseExposition(text, 'prometheus')).toThrow()
  })

  it('accepts what is right', () => {
    expect(parseExposition(good, 'prometheus').size).toBe(1)
  })
})
