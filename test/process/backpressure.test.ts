import { describe, expect, it } from 'vitest'
import { type BridgeProcess, startBridge, unbalanced } from '../support/bridge-process.ts'
import { eventually } from '../support/eventually.ts'
import { createStream, readStream } from '../support/jetstream.ts'
import { mqttLoad, natsLoad } from '../support/load.ts'
import { startMosquitto } from '../support/mosquitto.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { numbering, Oracle } from '../support/oracle.ts'
import { freePort } from '../support/ports.ts'
import { startProxy } from '../support/proxy.ts'
import { connectMqtt } from '../support/raw-mqtt.ts'
import { connectNats } from '../support/raw-nats.ts'

const MAX_RSS = 150 * 1024 * 1024
const SIZE = 1000
/** A twentieth of what is offered: 5,000 messages of 1 kB in a second. */
const THROTTLED = 250_000
const RATE = 5000
const COUNT = 15_000
/** Seconds. */
const KEEPALIVE = 2
const ROUTE = { pattern: '#', mqttPrefix: 'mqtt/', natsPrefix: '' }

/** Watches a bridge while the far side is slow: longer than three keepalives. */
async function watch(bridge: BridgeProcess, forwarded: () => number) {
  const from = performance.now()
  const before = forwarded()
  let peak = 0
  await eventually(
    'three keepalives to pass',
    async () => {
      peak = Math.max(peak, await bridge.rss())
      return performance.now() - from > (3 * KEEPALIVE + 1) * 1000
    },
    { interval: 50, deadline: 30_000 },
  )
  return { peak, rate: ((forwarded() - before) * 1000) / (performance.now() - from) }
}

async function connects(bridge: BridgeProcess): Promise<unknown> {
  const { connections } = (await bridge.status()) as unknown as {
    connections: Record<'mqtt' | 'nats', { connects: number; disconnects: number }>
  }
  const { mqtt, nats } = connections
  return [mqtt.connects, mqtt.disconnects, nats.connects, nats.disconnects]
}

async function settled(bridge: BridgeProcess): Promise<void> {
  await eventually('all to be settled', async () => {
    const { routes } = await bridge.status()
    return routes.every(({ inFlight }) => inFlight === 0)
  })
  expect(unbalanced(await bridge.status())).toEqual([])
}

describe('a far side that takes a twentieth of what is offered', () => {
  it('is NATS: the bridge takes less from MQTT, in little memory, keeps its session and loses nothing', async () => {
    await using server = await startNatsServer({ jetstream: true })
    await using proxy = await startProxy(server.port)
    await using broker = await startMosquitto()
    await using nats = await connectNats({ port: server.port })
    await createStream(nats, 'UP', ['up.>'])
    await using bridge = await startBridge({
      config: {
        mqtt: { url: `mqtt://127.0.0.1:${broker.port}`, keepalive: `${KEEPALIVE}s` },
        nats: { servers: [`nats://127.0.0.1:${proxy.port}`] },
        routes: [{ ...ROUTE, direction: 'mqttToNats', delivery: 'durable' }],
      },
    })
    let stored = 0
    nats.subscribe('up.>').onMessage = () => stored++
    proxy.throttle(THROTTLED, 'up')
    const numbers = numbering('up')
    await using load = mqttLoad(
      { port: broker.port },
      {
        rate: RATE,
        count: COUNT,
        message: (n) => ({ name: 'mqtt/up/a', payload: numbers.make(0, n, SIZE) }),
      },
    )
    await eventually('messages to cross', () => stored > 0)
    const slow = await watch(bridge, () => stored)
    expect(slow.rate).toBeLessThan(RATE / 10)
    expect(slow.rate).toBeGreaterThan(50)
    expect(slow.peak).toBeLessThan(MAX_RSS)
    expect((await bridge.status()).reasons).toEqual([])
    await proxy.heal()
    await load.done
    await eventually('all to be stored', () => stored >= COUNT, { deadline: 30_000 })
    expect(await bridge.rss()).toBeLessThan(MAX_RSS)
    const oracle = new Oracle('up', [COUNT], () => 'up.a')
    for (const { subject, data } of await readStream(nats, 'UP')) oracle.arrive(subject, data)
    expect(oracle.verdict()).toMatchObject({ lost: 0, doubled: 0, reordered: 0, foreign: 0 })
    expect(await connects(bridge)).toEqual([1, 0, 1, 0])
    await settled(bridge)
  })

  it('is NATS: publishers at the embedded broker are acknowledged at its pace', async () => {
    await using server = await startNatsServer({ jetstream: true })
    await using proxy = await startProxy(server.port)
    await using nats = await connectNats({ port: server.port })
    await createStream(nats, 'UP', ['up.>'])
    const port = await freePort()
    await using bridge = await startBridge({
      config: {
        mqtt: { url: 'embedded', embedded: { listen: `127.0.0.1:${port}` } },
        nats: { servers: [`nats://127.0.0.1:${proxy.port}`] },
        routes: [{ ...ROUTE, direction: 'mqttToNats', delivery: 'durable' }],
      },
    })
    proxy.throttle(THROTTLED, 'up')
    const numbers = numbering('up')
    await using load = mqttLoad(
      { port, version: 4 },
      {
        rate: RATE,
        count: COUNT,
        message: (n) => ({ name: 'mqtt/up/a', payload: numbers.make(0, n, SIZE) }),
      },
    )
    await eventually('messages to be acknowledged', () => load.acked() > 0)
    const slow = await watch(bridge, () => load.acked())
    expect(slow.rate).toBeLessThan(RATE / 10)
    expect(slow.peak).toBeLessThan(MAX_RSS)
    await proxy.heal()
    await load.done
    const oracle = new Oracle('up', [COUNT], () => 'up.a')
    for (const { subject, data } of await readStream(nats, 'UP')) oracle.arrive(subject, data)
    expect(oracle.verdict()).toMatchObject({ lost: 0, doubled: 0, reordered: 0, foreign: 0 })
    expect(load.connects()).toBe(1)
    await settled(bridge)
  })

  it('is MQTT: the bridge takes less from the stream, in little memory, keeps its session and loses nothing', async () => {
    await using server = await startNatsServer({ jetstream: true })
    await using broker = await startMosquitto()
    await using proxy = await startProxy(broker.port)
    await using nats = await connectNats({ port: server.port })
    await createStream(nats, 'DOWN', ['down.>'])
    await using bridge = await startBridge({
      config: {
        mqtt: { url: `mqtt://127.0.0.1:${proxy.port}`, keepalive: `${KEEPALIVE}s` },
        nats: { servers: [`nats://127.0.0.1:${server.port}`] },
        routes: [{ ...ROUTE, direction: 'natsToMqtt', delivery: 'durable' }],
      },
    })
    const oracle = new Oracle('down', [COUNT], () => 'mqtt/down/a')
    await using mqtt = await connectMqtt({
      port: broker.port,
      onMessage: ({ topic, payload }) => oracle.arrive(topic, payload),
    })
    await mqtt.subscribe('mqtt/down/#', { qos: 1 })
    proxy.throttle(THROTTLED, 'up')
    const numbers = numbering('down')
    await using load = natsLoad(
      { port: server.port },
      {
        name: 'down',
        rate: RATE,
        count: COUNT,
        message: (n) => ({ name: 'down.a', payload: numbers.make(0, n, SIZE) }),
      },
    )
    await eventually('messages to cross', () => oracle.arrived() > 0)
    const slow = await watch(bridge, () => oracle.arrived())
    expect(slow.rate).toBeLessThan(RATE / 10)
    expect(slow.rate).toBeGreaterThan(50)
    expect(slow.peak).toBeLessThan(MAX_RSS)
    await proxy.heal()
    await load.done
    await eventually('all to arrive', () => oracle.complete(), { deadline: 30_000 })
    expect(await bridge.rss()).toBeLessThan(MAX_RSS)
    expect(oracle.verdict()).toMatchObject({ lost: 0, doubled: 0, reordered: 0, foreign: 0 })
    expect(await connects(bridge)).toEqual([1, 0, 1, 0])
    await settled(bridge)
  })
})
