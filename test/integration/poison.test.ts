import { describe, expect, it } from 'vitest'
import type { BridgeHere } from '../support/bridge-in-process.ts'
import { startBridgeHere } from '../support/bridge-in-process.ts'
import { RUNBOOK_ROUTE, startStage, texts } from '../support/bridge-stage.ts'
import { eventually } from '../support/eventually.ts'
import { createStream, readStream } from '../support/jetstream.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { connectMqtt, type Qos } from '../support/raw-mqtt.ts'
import { connectNats } from '../support/raw-nats.ts'

/** Users: the bridge may not publish below `denied`, the tester may do everything. */
const PERMISSIONS = `
authorization {
  users [
    { user: bridge, password: secret, permissions { publish { allow: ">", deny: "denied.>" } } }
    { user: tester, password: secret }
  ]
}
no_auth_user: tester
`

const AS_BRIDGE = { auth: { username: 'bridge', password: 'secret' } }

/** The links were never lost, every message is accounted for, and `/status` and the metrics say the same. */
async function expectUnharmed(
  bridge: BridgeHere,
  dropped: { toNats?: Record<string, number>; toMqtt?: Record<string, number> },
): Promise<void> {
  await eventually('all to be settled', () => bridge.report().flows.every((f) => f.inFlight === 0))
  expect(bridge.report().links.mqtt.connects).toBe(1)
  expect(bridge.report().links.nats.connects).toBe(1)
  expect(bridge.unbalanced()).toEqual([])
  for (const [way, expected] of [
    ['mqttToNats', dropped.toNats ?? {}],
    ['natsToMqtt', dropped.toMqtt ?? {}],
  ] as const) {
    expect(bridge.dropped(way)).toEqual(expected)
    const direction = way === 'mqttToNats' ? 'mqtt_to_nats' : 'nats_to_mqtt'
    for (const [reason, count] of Object.entries(expected)) {
      const label = reason.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
      const metric = 'mqttnats_messages_dropped_total'
      expect(await bridge.metric(metric, { direction, reason: label })).toBe(count)
    }
    const routes = bridge.status()['routes'] as { direction: string; dropped: object }[]
    const shown = routes.filter((route) => route.direction === way).map((route) => route.dropped)
    expect(Object.assign({}, ...shown)).toEqual(expected)
  }
}

describe('from MQTT to NATS, between good messages', () => {
  it('odd topics arrive under the subjects that the mapping gives them', async () => {
    await using stage = await startStage()
    const { mqtt, nats, bridge } = stage
    const onNats = nats.subscribe('>')
    await nats.flush()
    const topics = ['a b', '/', '//x//', 'x/', 'a.b', 'Größe/温度/🌡', '*', '>/x', 'a/b c/d']
    for (const qos of [0, 1] as const) {
      for (const [n, topic] of topics.entries()) {
        await mqtt.publish(`mqtt/${topic}`, `odd ${n}`, { qos })
        await mqtt.publish('mqtt/good', `good ${n}`, { qos })
      }
    }
    const subjects = ['a/20b', '/./', '/./.x././', 'x./', 'a//b', 'Größe.温度.🌡', '*', '>.x']
    subjects.push('a.b/20c.d')
    const once = subjects.flatMap((subject, n) => [`${subject} odd ${n}`, `good good ${n}`])
    expect(texts(await onNats.take(2 * once.length))).toEqual([...once, ...once])
    await expectUnharmed(bridge, {})
  })

  it('a topic that is too long for NATS is acknowledged and dropped as unmappable', async () => {
    await using stage = await startStage()
    const { mqtt, nats, bridge } = stage
    const onNats = nats.subscribe('>')
    await nats.flush()
    // Mosquitto takes at most 200 levels, so length comes from one level.
    const longest = `mqtt/${'x'.repeat(65_530)}`
    expect(Buffer.byteLength(longest)).toBe(65_535)
    for (const [n, qos] of ([0, 1] as const).entries()) {
      await mqtt.publish(longest, 'too long', { qos })
      await mqtt.publish('mqtt/good', `${n}`, { qos })
    }
    expect(texts(await onNats.take(2))).toEqual(['good 0', 'good 1'])
    await expectUnharmed(bridge, { toNats: { unmappable: 2 } })
  })

  it('a tab arrives escaped where the broker takes it', async () => {
    await using server = await startNatsServer()
    await using bridge = await startBridgeHere({
      mqtt: { url: 'embedded', embedded: { listen: '127.0.0.1:0' } },
      nats: { servers: [`nats://127.0.0.1:${server.port}`] },
      routes: [RUNBOOK_ROUTE],
    })
    await using nats = await connectNats({ port: server.port })
    const onNats = nats.subscribe('>')
    await nats.flush()
    const port = bridge.bridge.embeddedPort ?? 0
    await using mqtt = await connectMqtt({ port, version: 4 })
    await mqtt.publish('mqtt/a\tb', 'tab', { qos: 1 })
    await mqtt.publish('mqtt/a\nb', 'line', { qos: 1 })
    await mqtt.publish('mqtt/good', 'good', { qos: 1 })
    expect(texts(await onNats.take(3))).toEqual(['a/09b tab', 'a/0ab line', 'good good'])
    await expectUnharmed(bridge, {})
  })

  it('a payload above max_payload is acknowledged and dropped as tooLarge, one that just fits arrives', async () => {
    await using stage = await startStage({ nats: { config: 'max_payload: 65536' } })
    const { mqtt, nats, bridge } = stage
    const onNats = nats.subscribe('>')
    await nats.flush()
    for (const qos of [0, 1] as const) {
      await mqtt.publish('mqtt/big', Buffer.alloc(65_537), { qos })
      await mqtt.publish('mqtt/big', Buffer.alloc(65_536), { qos })
      await mqtt.publish('mqtt/good', Buffer.alloc(65_000), { qos })
    }
    const got = await onNats.take(2)
    expect(got.map((m) => [m.subject, m.data.length])).toEqual([
      ['good', 65_000],
      ['good', 65_000],
    ])
    await expectUnharmed(bridge, { toNats: { tooLarge: 4 } })
  })

  it('a packet above the largest one taken is acknowledged and dropped as tooLarge', async () => {
    await using stage = await startStage({
      // a broker of MQTT 3.1.1 is not told what the largest is
      mqtt: { protocolVersion: 4, maxPacketSize: '128KiB' },
    })
    const { mqtt, nats, bridge } = stage
    const onNats = nats.subscribe('>')
    await nats.flush()
    for (const qos of [0, 1] as const) {
      await mqtt.publish('mqtt/big', Buffer.alloc(300_000), { qos })
      await mqtt.publish('mqtt/good', `${qos}`, { qos })
    }
    expect(texts(await onNats.take(2))).toEqual(['good 0', 'good 1'])
    await expectUnharmed(bridge, { toNats: { tooLarge: 2 } })
  })

  it.each<readonly [string, Qos, boolean]>([
    ['QoS 0', 0, false],
    ['QoS 1, confirmed', 1, false],
    ['QoS 1, durable', 1, true],
  ])(
    'a publish that NATS does not permit is acknowledged and dropped as denied (%s)',
    async (_, qos, durable) => {
      await using stage = await startStage({
        nats: { config: PERMISSIONS, jetstream: durable },
        natsSettings: AS_BRIDGE,
        before: async (nats) => {
          if (durable) await createStream(nats, 'ALL', ['denied.>', 'good.>'])
        },
      })
      const { mqtt, nats, bridge } = stage
      const onNats = nats.subscribe('good.>')
      await nats.flush()
      const denied = ['denied/a', 'denied/a "quoted" one', 'denied/back\\slash', 'denied/温']
      for (const [n, topic] of denied.entries()) {
        await mqtt.publish(`mqtt/${topic}`, 'no', { qos })
        await mqtt.publish('mqtt/good/x', `${n}`, { qos })
      }
      expect(texts(await onNats.take(4))).toEqual([0, 1, 2, 3].map((n) => `good.x ${n}`))
      await eventually('the refusals', () => bridge.dropped('mqttToNats').denied === 4)
      if (durable) expect(await readStream(nats, 'ALL')).toHaveLength(4)
      await expectUnharmed(bridge, { toNats: { denied: 4 } })
    },
  )

  it('reserved names are acknowledged and dropped as reserved', async () => {
    await using stage = await startStage()
    const { mqtt, nats, bridge } = stage
    const onNats = nats.subscribe('good')
    await nats.flush()
    // behind a prefix of the route the name begins with $ only on NATS, so the pattern names it
    for (const topic of ['_INBOX/a', '_INBOX/a/b']) {
      await mqtt.publish(`mqtt/${topic}`, 'no', { qos: 1 })
    }
    await mqtt.publish('mqtt/good', 'yes', { qos: 1 })
    expect(texts(await onNats.take(1))).toEqual(['good yes'])
    await expectUnharmed(bridge, { toNats: { reserved: 2 } })
  })
})

const ODD_SUBJECTS = ['foo/bar', 'a#b', 'a+b.c', '/', 'a/20', 'bell\u0007'] as const

describe('from NATS to MQTT, between good messages', () => {
  it.each([
    ['live', false],
    ['from a stream', true],
  ])('subjects without a topic are dropped as unmappable (%s)', async (_, jetstream) => {
    await using stage = await startStage({
      nats: { jetstream },
      before: async (nats) => {
        if (jetstream) await createStream(nats, 'ALL', [...ODD_SUBJECTS, 'good.>'])
      },
    })
    const { mqtt, nats, bridge } = stage
    await mqtt.subscribe('mqtt/#', { nl: true })
    for (const [n, subject] of ODD_SUBJECTS.entries()) {
      nats.publish(subject, 'odd')
      nats.publish('good.x', `${n}`)
    }
    const got = texts(await mqtt.take(7))
    expect(got.filter((text) => text.startsWith('mqtt/good/x'))).toEqual(
      ODD_SUBJECTS.map((__, n) => `mqtt/good/x ${n}`),
    )
    // what reads like one of our escapes is one
    expect(got).toContain('mqtt/a  odd')
    await expectUnharmed(bridge, { toMqtt: { unmappable: 5 } })
  })

  it.each([
    ['live', false],
    ['from a stream', true],
  ])(
    'a message above the Maximum Packet Size of the broker is dropped as tooLarge (%s)',
    async (_, jetstream) => {
      await using stage = await startStage({
        mosquitto: { config: 'max_packet_size 20000' },
        nats: { jetstream },
        before: async (nats) => {
          if (jetstream) await createStream(nats, 'ALL', ['a.>'])
        },
      })
      const { mqtt, nats, bridge } = stage
      await mqtt.subscribe('mqtt/#', { nl: true })
      for (const text of ['one', 'two', 'three']) {
        nats.publish('a.b', Buffer.alloc(20_000))
        nats.publish('a.b', text)
      }
      expect(texts(await mqtt.take(3))).toEqual(['one', 'two', 'three'].map((t) => `mqtt/a/b ${t}`))
      await expectUnharmed(bridge, { toMqtt: { tooLarge: 3 } })
    },
  )

  it('a message over which the broker closes the link is let go, and all others arrive in order', async () => {
    await using stage = await startStage({
      // answers with PUBACK 0x95 and closes the connection, here of version 2.0.11
      mosquitto: { config: 'message_size_limit 20000' },
      nats: { jetstream: true },
      before: (nats) => createStream(nats, 'ALL', ['a.>']),
    })
    const { mqtt, nats, bridge } = stage
    await mqtt.subscribe('mqtt/#', { nl: true })
    const good = ['one', 'two']
    for (const text of good) {
      nats.publish('a.b', Buffer.alloc(30_000))
      nats.publish('a.b', text)
    }
    const arrived = () => [...new Set(texts(mqtt.received))]
    await eventually('the good ones', () => arrived().length === good.length, { deadline: 30_000 })
    expect(arrived()).toEqual(good.map((text) => `mqtt/a/b ${text}`))
    await eventually('all to be settled', () => bridge.books('natsToMqtt').inFlight === 0)
    const { tooLarge = 0, rejected = 0 } = bridge.dropped('natsToMqtt')
    expect(tooLarge + rejected).toBe(good.length)
    expect(bridge.books('natsToMqtt').forwardedTotal).toBe(good.length)
    expect(bridge.unbalanced()).toEqual([])
  })
})
