import { RouteBooks } from '../../../src/core/books.ts'
import type { Direction } from '../../../src/core/config.ts'
import { BridgeError } from '../../../src/core/errors.ts'
import { LinkReport } from '../../../src/core/ports.ts'
import type { BridgeReport, FlowReport, RouteReport } from '../../../src/core/status.ts'
import type { MetricExtras } from '../../../src/ops/metric-scene.ts'

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** The moment the sample report is taken at. */
export const NOW = Date.UTC(2026, 0, 2, 12, 0, 0)

/** A bridge in good health with two routes; tests change what they are about. */
export function sampleReport(): Writable<BridgeReport> {
  return {
    version: '1.2.3',
    state: 'running',
    startedAt: NOW - 60_000,
    ready: true,
    reasons: [],
    links: { mqtt: link('mqtt'), nats: link('nats') },
    routes: [route('sensors', 'mqttToNats'), route('sensors', 'natsToMqtt')],
    flows: [flow('mqttToNats'), flow('natsToMqtt')],
    expiries: [{ credential: 'nats user jwt', account: 'IOT', expiresAt: NOW / 1000 + 3600 }],
    lastErrors: [],
  }
}

export function sampleExtras(): Writable<MetricExtras> {
  return {
    now: () => NOW,
    revision: 'abc123',
    logCounts: { debug: 0, info: 5, warn: 2, error: 1 },
    config: () => ({ hash: 'f00d', lastReloadOk: true, lastReloadOkAt: NOW - 5000 }),
  }
}

export function route(name: string, direction: Direction): RouteReport {
  const books = new RouteBooks(name, direction)
  return { name, direction, delivery: 'durable', window: 1000, books, streams: ['IOT'] }
}

function flow(direction: Direction): FlowReport {
  return {
    direction,
    inFlight: 3,
    limit: 1000,
    bytes: 512,
    limitBytes: 8_388_608,
    heldBack: false,
    heldSeconds: { window: 1.5, socket: 0, away: 0 },
    oldestSeconds: 0,
  }
}

function link(side: 'mqtt' | 'nats'): LinkReport {
  const report = new LinkReport(side)
  report.state = 'connected'
  report.server = `${side}.example:1883`
  report.protocol = side === 'mqtt' ? 'MQTT 5' : 'NATS'
  report.tlsVersion = 'TLSv1.3'
  report.serverVersion = '2.12.3'
  report.since = NOW - 50_000
  report.connects = 2
  report.reconnects = 1
  report.disconnects = 1
  report.subscriptions = 1
  report.rtt = 0.002
  report.serverCertNotAfter = NOW / 1000 + 86_400
  report.fail(new BridgeError('dialling: refused', { code: 'CONNECT_REFUSED' }), NOW - 55_000)
  return report
}
