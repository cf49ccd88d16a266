import { describe, expect, it } from 'vitest'
import { startBridgeHere } from '../support/bridge-in-process.ts'
import { RUNBOOK_ROUTE, startStage, texts } from '../support/bridge-stage.ts'
import { eventually } from '../support/eventually.ts'
import { createStream, readStream } from '../support/jetstream.ts'
import { startMosquitto } from '../support/mosquitto.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { freePort } from '../support/ports.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'
import { connectMqtt } from '../support/raw-mqtt.ts'
import { connectNats } from '../support/raw-nats.ts'

const count = (n: number) => Array.from({ length: n }, (_, at) => at)

describe('a bridge between two servers that are there', () => {
  it('carries messages of QoS 0 and 1 both ways, without JetStream too', async () => {
    await using stage = await startStage()
    const { mqtt, nats, bridge } = stage
    const onNats = nats.subscribe('sensors.>')
    await nats.flush()
    await mqtt.subscribe('mqtt/#', { nl: true })
    await mqtt.publish('mqtt/sensors/a', 'zero')
    await mqtt.publish('mqtt/sensors/b', 'one', { qos: 1 })
    expect(texts(await onNats.take(2))).toEqual(['sensors.a zero', 'sensors.b one'])
    nats.publish('sensors.c', 'two')
    nats.publish('sensors.d', 'three', { headers: { 'Mqtt-QoS': '0' } })
    const got = await mqtt.take(2)
    expect(texts(got)).toEqual(['mqtt/sensors/c two', 'mqtt/sensors/d three'])
    expect(got.map(({ qos }) => qos)).toEqual([1, 0])
    await eventually('all to be settled', () => bridge.books('natsToMqtt').inFlight === 0)
    expect(bridge.unbalanced()).toEqual([])
  })

  it('starts once and stops once, however often it is told', async () => {
    await using stage = await startStage()
    const { bridge } = stage.bridge
    await Promise.all([bridge.start(), bridge.start()])
    expect(bridge.report().links.mqtt.connects).toBe(1)
    await Promise.all([bridge.stop(), bridge.stop(), stage.bridge.leave()])
    expect(bridge.report().state).toBe('stopped')
    expect(bridge.report().ready).toBe(false)
  })

  it('falls back to MQTT 3.1.1 at a broker that refuses MQTT 5, and nothing comes back there', async () => {
    await using server = await startNatsServer()
    const port = await freePort()
    await using host = await startBridgeHere({
      mqtt: { url: 'embedded', embedded: { listen: `127.0.0.1:${port}` } },
      nats: { servers: [`nats://127.0.0.1:${server.port}`] },
      routes: [{ pattern: 'nothing' }],
    })
    await using bridge = await startBridgeHere({
      mqtt: { url: `mqtt://127.0.0.1:${port}`, clientId: 'old-speaker' },
      nats: { servers: [`nats://127.0.0.1:${server.port}`] },
      routes: [RUNBOOK_ROUTE],
    })
    expect(host.report().ready).toBe(true)
    expect(bridge.report().links.mqtt.protocol).toBe('MQTT 3.1.1')
    await using nats = await connectNats({ port: server.port })
    await using mqtt = await connectMqtt({ port, version: 4 })
    await mqtt.subscribe('mqtt/#')
    const onNats = nats.subscribe('>')
    await nats.flush()
    nats.publish('a.b', 'from NATS')
    await mqtt.take(1)
    await mqtt.publish('mqtt/c', 'marker', { qos: 1 })
    // had the message come back, it would stand before the marker
    expect(texts(await onNats.take(2))).toEqual(['a.b from NATS', 'c marker'])
    await eventually('all to be settled', () => bridge.books('natsToMqtt').inFlight === 0)
    expect(bridge.unbalanced()).toEqual([])
  })
})

describe('a bridge whose other side is away at its start', () => {
  it('takes nothing from MQTT while NATS is away, and carries all of it when NATS comes', async () => {
    const natsPort = await freePort()
    await using broker = await startMosquitto()
    await using bridge = await startBridgeHere(
      {
        mqtt: { url: `mqtt://127.0.0.1:${broker.port}`, clientId: 'early' },
        nats: { servers: [`nats://127.0.0.1:${natsPort}`] },
        routes: [RUNBOOK_ROUTE],
      },
      { waitUntilReady: false },
    )
    await bridge.untilReason(/^nats: .*127\.0\.0\.1:\d+': connection refused/)
    await eventually('the subscription', () => bridge.report().links.mqtt.subscriptions === 1)
    await using mqtt = await connectMqtt({ port: broker.port })
    const messages = count(50).map((n) => ['mqtt/early', `${n}`] as const)
    await mqtt.publishAll(messages, { qos: 1 })
    expect(bridge.books('mqttToNats').forwardedTotal).toBe(0)

    await using server = await startNatsServer({ port: natsPort })
    await using nats = await connectNats({ port: server.port })
    const onNats = nats.subscribe('early')
    await bridge.untilReady()
    const got = await onNats.take(50)
    expect(got.map(({ data }) => data.toString())).toEqual(messages.map(([, text]) => text))
    expect(bridge.unbalanced()).toEqual([])
  })

  it('lets messages wait in the stream while MQTT is away, and carries all of them when MQTT comes', async () => {
    const mqttPort = await freePort()
    await using server = await startNatsServer({ jetstream: true })
    await using nats = await connectNats({ port: server.port })
    await createStream(nats, 'KEPT', ['kept.>'])
    await using bridge = await startBridgeHere(
      {
        mqtt: { url: `mqtt://127.0.0.1:${mqttPort}`, clientId: 'lonely' },
        nats: { servers: [`nats://127.0.0.1:${server.port}`] },
        routes: [{ ...RUNBOOK_ROUTE, startAt: 'all' }],
      },
      { waitUntilReady: false },
    )
    await bridge.untilReason(/^mqtt: .*127\.0\.0\.1:\d+': connection refused/)
    for (const n of count(50)) nats.publish('kept.a', `${n}`)
    await nats.flush()
    await using broker = await startMosquitto({ port: mqttPort })
    await using mqtt = await connectMqtt({ port: broker.port })
    await mqtt.subscribe('mqtt/kept/a')
    const got = await mqtt.take(50)
    expect(got.map(({ payload }) => Number(payload.toString()))).toEqual(count(50))
    await eventually('all to be settled', () => bridge.books('natsToMqtt').inFlight === 0)
    expect(bridge.unbalanced()).toEqual([])
  })
})

describe('a bridge that leaves', () => {
  it('settles what is in flight first, so that nothing comes twice', async () => {
    const proxies: FaultProxy[] = []
    await using stage = await startStage({
      nats: { jetstream: true },
      before: (nats) => createStream(nats, 'ALL', ['a.>']),
      through: async (_, natsPort) => {
        const proxy = await startProxy(natsPort)
        proxies.push(proxy)
        return { nats: proxy.port }
      },
    })
    await using proxy = proxies[0] as FaultProxy
    const { mqtt, bridge, nats } = stage
    // the answers of the stream are on their way when the bridge is told to leave
    proxy.delay(300, 'down')
    const published = count(20).map((n) => mqtt.publish('mqtt/a/b', `${n}`, { qos: 1 }))
    await Promise.all(published)
    await eventually('messages in flight', () => bridge.books('mqttToNats').inFlight === 20)
    await bridge.leave()
    expect(bridge.books('mqttToNats').inFlight).toBe(0)
    expect(bridge.books('mqttToNats').forwardedTotal).toBe(20)
    expect(bridge.unbalanced()).toEqual([])
    const again = await stage.again()
    await mqtt.publish('mqtt/a/b', 'marker', { qos: 1 })
    await eventually('the marker', () => again.books('mqttToNats').forwardedTotal === 1)
    const stored = await readStream(nats, 'ALL')
    expect(stored.map(({ data }) => data.toString())).toEqual([...count(20).map(String), 'marker'])
  })

  it('leaves its session at the broker, which keeps what is published meanwhile', async () => {
    await using stage = await startStage()
    const { mqtt, bridge, nats } = stage
    const onNats = nats.subscribe('later')
    await nats.flush()
    await bridge.leave()
    for (const n of count(20)) await mqtt.publish('mqtt/later', `${n}`, { qos: 1 })
    const again = await stage.again()
    const got = await onNats.take(20)
    expect(got.map(({ data }) => Number(data.toString()))).toEqual(count(20))
    expect(again.books('mqttToNats').receivedTotal).toBe(20)
  })

  it('stops in time while both directions are saturated, and the next one carries the rest', async () => {
    await using stage = await startStage({
      nats: { jetstream: true },
      mqtt: { window: 50 },
      natsSettings: { window: 50 },
      before: async (nats) => {
        await createStream(nats, 'UP', ['up.>'])
        await createStream(nats, 'DOWN', ['down.>'])
      },
    })
    const { mqtt, bridge, nats } = stage
    const reader = await stage.mqttClient()
    await reader.subscribe('mqtt/down/#', { nl: true })
    const up = mqtt.publishAll(
      count(3000).map((n) => ['mqtt/up/a', `${n}`] as const),
      { qos: 1 },
    )
    for (const n of count(3000)) nats.publish('down.a', `${n}`)
    await eventually('both to flow', () =>
      ['mqttToNats' as const, 'natsToMqtt' as const].every(
        (way) => bridge.books(way).forwardedTotal > 100,
      ),
    )
    const from = performance.now()
    await bridge.leave(2_000)
    expect(performance.now() - from).toBeLessThan(5_000)
    expect(bridge.unbalanced()).toEqual([])
    await up
    await stage.again()
    const seen = new Set<string>()
    await eventually('all on MQTT', () => {
      for (const { payload } of reader.received) seen.add(payload.toString())
      return seen.size === 3000
    })
    await eventually('all on NATS', async () => {
      const stored = await readStream(nats, 'UP')
      return new Set(stored.map(({ data }) => data.toString())).size === 3000
    })
  })
})
