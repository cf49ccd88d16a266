import { describe, expect, it } from 'vitest'
import { startBridgeHere } from '../support/bridge-in-process.ts'
import { RUNBOOK_ROUTE, startStage, texts } from '../support/bridge-stage.ts'
import { eventually } from '../support/eventually.ts'
import { createStream, readStream } from '../support/jetstream.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { freePort } from '../support/ports.ts'
import { connectMqtt } from '../support/raw-mqtt.ts'
import { connectNats } from '../support/raw-nats.ts'

/** Filters that overlap without one covering another, and one route each. */
const OVERLAPPING = [
  { pattern: 'a/+', natsPrefix: 'first/', name: 'first' },
  { pattern: '+/b', natsPrefix: 'second/', name: 'second' },
  { pattern: '+/y/#', natsPrefix: 'third/', name: 'third', exclude: ['x/#'] },
]

const TOPICS = ['a/b', 'a/y', 'z/b', 'z/y/w', 'x/y', 'x/b', 'alone'] as const
const SUBJECTS = ['first.a.b', 'first.a.y', 'second.z.b', 'third.z.y.w', 'second.x.b']

describe('overlapping routes from MQTT', () => {
  it('carry a message once, by the first that takes it, at a broker that sends a copy per subscription', async () => {
    await using stage = await startStage({
      // Mosquitto itself sends one copy, here it is told not to.
      mosquitto: { config: 'allow_duplicate_messages true' },
      routes: OVERLAPPING,
    })
    const { mqtt, nats, bridge } = stage
    const onNats = nats.subscribe('>')
    await nats.flush()
    for (const qos of [0, 1] as const) {
      for (const topic of TOPICS) await mqtt.publish(topic, `${qos}`, { qos })
    }
    await mqtt.publish('a/marker', 'end', { qos: 1 })
    const got = texts(await onNats.take(2 * SUBJECTS.length + 1))
    expect(got).toEqual([
      ...SUBJECTS.map((subject) => `${subject} 0`),
      ...SUBJECTS.map((subject) => `${subject} 1`),
      'first.a.marker end',
    ])
    expect(bridge.report().routes.some(({ books }) => books.filtered > 0)).toBe(true)
    await eventually('all to be settled', () => bridge.report().flows[0]?.inFlight === 0)
    expect(bridge.unbalanced()).toEqual([])
  })

  it('carry a message once at a broker that speaks MQTT 3.1.1 and cannot tell copies apart', async () => {
    await using server = await startNatsServer()
    const port = await freePort()
    const nats = { servers: [`nats://127.0.0.1:${server.port}`] }
    await using _host = await startBridgeHere({
      mqtt: { url: 'embedded', embedded: { listen: `127.0.0.1:${port}` } },
      nats,
      routes: [{ pattern: 'nothing' }],
    })
    await using bridge = await startBridgeHere({
      mqtt: { url: `mqtt://127.0.0.1:${port}`, clientId: 'overlap' },
      nats,
      routes: OVERLAPPING,
    })
    await using client = await connectNats({ port: server.port })
    await using mqtt = await connectMqtt({ port, version: 4 })
    const onNats = client.subscribe('>')
    await client.flush()
    for (const topic of TOPICS) await mqtt.publish(topic, '1', { qos: 1 })
    await mqtt.publish('a/marker', 'end', { qos: 1 })
    const got = texts(await onNats.take(SUBJECTS.length + 1))
    expect(got).toEqual([...SUBJECTS.map((subject) => `${subject} 1`), 'first.a.marker end'])
    expect(bridge.report().links.mqtt.protocol).toBe('MQTT 3.1.1')
    expect(bridge.unbalanced()).toEqual([])
  })

  it('count what none of them takes in the entry (none), and pass an excluded one on to the next', async () => {
    await using stage = await startStage({
      routes: [
        { pattern: 'site/#', natsPrefix: 'one/', name: 'one', exclude: ['site/secret/#'] },
        { pattern: 'site/secret/+', natsPrefix: 'two/', name: 'two' },
      ],
    })
    const { mqtt, nats, bridge } = stage
    const onNats = nats.subscribe('>')
    await nats.flush()
    await mqtt.publish('site/a', 'first', { qos: 1 })
    await mqtt.publish('site/secret/b', 'second', { qos: 1 })
    await mqtt.publish('site/secret/b/c', 'nobody', { qos: 1 })
    await mqtt.publish('site/marker', 'end', { qos: 1 })
    expect(texts(await onNats.take(3))).toEqual([
      'one.site.a first',
      'two.site.secret.b second',
      'one.site.marker end',
    ])
    const none = bridge.books('mqttToNats', '(none)')
    expect([none.receivedTotal, none.droppedTotal]).toEqual([1, 1])
    expect(bridge.dropped('mqttToNats')).toEqual({ noRoute: 1 })
    const labels = { route: '(none)', reason: 'no_route', direction: 'mqtt_to_nats' }
    expect(await bridge.metric('mqttnats_messages_dropped_total', labels)).toBe(1)
    await eventually('all to be settled', () => bridge.report().flows[0]?.inFlight === 0)
    expect(bridge.unbalanced()).toEqual([])
  })
})

describe('overlapping routes from NATS', () => {
  it.each([
    ['live', false],
    ['from a stream', true],
  ])('carry a message once, by the first that takes it (%s)', async (_, jetstream) => {
    await using stage = await startStage({
      nats: { jetstream },
      before: async (nats) => {
        if (jetstream) await createStream(nats, 'ALL', ['a.>', 'z.>', 'x.>'])
      },
      routes: [
        { pattern: 'a/+', mqttPrefix: 'first/', name: 'first' },
        { pattern: '+/b', mqttPrefix: 'second/', name: 'second' },
        { pattern: '+/y/#', mqttPrefix: 'third/', name: 'third', exclude: ['x/#'] },
      ],
    })
    const { mqtt, nats, bridge } = stage
    await mqtt.subscribe('#', { nl: true })
    for (const subject of ['a.b', 'a.y', 'z.b', 'z.y.w', 'x.y', 'x.b']) nats.publish(subject, '1')
    const first = texts(await mqtt.take(5)).sort()
    expect(first).toEqual([
      'first/a/b 1',
      'first/a/y 1',
      'second/x/b 1',
      'second/z/b 1',
      'third/z/y/w 1',
    ])
    // one marker for each route: each reads the stream on its own
    for (const subject of ['a.end', 'z.b', 'z.y.end']) nats.publish(subject, 'end')
    expect(
      texts(await mqtt.take(8))
        .slice(5)
        .sort(),
    ).toEqual(['first/a/end end', 'second/z/b end', 'third/z/y/end end'])
    await eventually('all to be settled', () => bridge.report().flows[1]?.inFlight === 0)
    expect(bridge.unbalanced()).toEqual([])
  })
})

describe('a durable route in both directions', () => {
  it('gets its own publishes back from the stream and lets them go, so that nothing is doubled on MQTT', async () => {
    await using stage = await startStage({
      nats: { jetstream: true },
      before: (nats) => createStream(nats, 'PLANT', ['plant.>']),
      routes: [RUNBOOK_ROUTE],
    })
    const { mqtt, nats, bridge } = stage
    await mqtt.subscribe('mqtt/plant/#')
    for (let n = 0; n < 30; n++) await mqtt.publish('mqtt/plant/a', `${n}`, { qos: 1 })
    await eventually('all to be stored', () => bridge.books('mqttToNats').forwardedTotal === 30)
    nats.publish('plant.b', 'marker')
    const got = texts(await mqtt.take(31))
    expect(got.at(-1)).toBe('mqtt/plant/b marker')
    expect(got.slice(0, 30).every((text) => text.startsWith('mqtt/plant/a '))).toBe(true)
    expect(new Set(got).size).toBe(31)
    expect(await readStream(nats, 'PLANT')).toHaveLength(31)
    const books = bridge.books('natsToMqtt')
    await eventually('all to be settled', () => books.inFlight === 0)
    expect(books.loopsSuppressed).toBe(30)
    expect([books.receivedTotal, books.filtered, books.forwardedTotal]).toEqual([31, 30, 1])
    expect(bridge.unbalanced()).toEqual([])
  })
})
