import { describe, expect, it } from 'vitest'
import { BridgeError } from '../../../src/core/errors.ts'
import { toStatusJson } from '../../../src/ops/status.ts'
import { NOW, sampleReport } from './sample-report.ts'

describe('toStatusJson', () => {
  it('shows the books of each route and direction, only the reasons that occurred', () => {
    const report = sampleReport()
    const { books } = report.routes[0]!
    books.received.set([1, 8, 1])
    books.forwarded.set([1, 7, 0])
    books.drop('expired')
    books.deadLettered = 1
    books.receivedBytes = 100
    books.forwardedBytes = 80
    books.lastForwardedAt = NOW
    expect(toStatusJson(report)['routes']).toEqual([
      {
        name: 'sensors',
        direction: 'mqttToNats',
        delivery: 'durable',
        streams: ['IOT'],
        received: 10,
        forwarded: 8,
        filtered: 0,
        dropped: { expired: 1 },
        deadLettered: 1,
        inFlight: 0,
        window: 1000,
        retried: 0,
        loopsSuppressed: 0,
        bytes: { received: 100, forwarded: 80 },
        lastForwardedAt: '2026-01-02T12:00:00.000Z',
      },
      expect.objectContaining({
        direction: 'natsToMqtt',
        received: 0,
        dropped: {},
        lastForwardedAt: null,
      }),
    ])
  })

  it('shows both connections with their last error', () => {
    expect(toStatusJson(sampleReport())['connections']).toEqual({
      mqtt: {
        state: 'connected',
        since: '2026-01-02T11:59:10.000Z',
        server: 'mqtt.example:1883',
        protocol: 'MQTT 5',
        tlsVersion: 'TLSv1.3',
        serverVersion: '2.12.3',
        connects: 2,
        reconnects: 1,
        disconnects: 1,
        failures: { CONNECT_REFUSED: 1 },
        authErrors: 0,
        subscriptions: 1,
        rttSeconds: 0.002,
        serverCertNotAfter: '2026-01-03T12:00:00.000Z',
        reasons: [],
        lastError: {
          at: '2026-01-02T11:59:05.000Z',
          code: 'CONNECT_REFUSED',
          message: 'dialling: refused',
          hint: expect.stringContaining('nothing listens'),
        },
      },
      nats: expect.objectContaining({ state: 'connected', protocol: 'NATS' }),
    })
  })

  it('shows state, reasons, windows, expiries and versions', () => {
    const report = { ...sampleReport(), ready: false, reasons: ['mqtt: waiting'] }
    const status = toStatusJson(report)
    expect(status).toMatchObject({
      ready: false,
      reasons: ['mqtt: waiting'],
      state: 'running',
      startedAt: '2026-01-02T11:59:00.000Z',
      expiries: [
        { credential: 'nats user jwt', account: 'IOT', expiresAt: '2026-01-02T13:00:00.000Z' },
      ],
      versions: { bridge: '1.2.3', node: process.versions.node },
    })
    expect(status['flows']).toEqual(report.flows)
    expect(JSON.parse(JSON.stringify(status))).toEqual(status)
  })

  it('shows no credential that slipped into a message', () => {
    const report = sampleReport()
    const error = new BridgeError('dialling mqtt://u:HUNTER2@b', { code: 'MQTT_AUTH' })
    report.links.mqtt.fail(error, NOW)
    report.links.mqtt.reasons = ['refused by mqtt://u:HUNTER2@b']
    report.lastErrors = [{ at: NOW, code: error.code, message: error.message, hint: error.hint }]
    report.ready = false
    report.reasons = ['mqtt: refused by mqtt://u:HUNTER2@b']
    expect(JSON.stringify(toStatusJson(report))).not.toContain('HUNTER2')
  })
})
