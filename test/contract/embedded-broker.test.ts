import { writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { MqttClient, connect as mqttConnect } from 'mqtt'
import { generate, parser } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import type { EmbeddedConfig } from '../../src/core/config.ts'
import { EmbeddedBroker } from '../../src/mqtt/embedded/broker.ts'
import type { EmbeddedLimits } from '../../src/mqtt/embedded/limits.ts'
import { hashPassword } from '../../src/mqtt/embedded/users.ts'
import { eventually, within } from '../support/eventually.ts'
import { makePki } from '../support/pki.ts'
import { connectMqtt, type RawMqtt, type RawMqttOptions } from '../support/raw-mqtt.ts'
import { tempFolder } from '../support/temp.ts'
import { FakeBridge } from '../unit/mqtt/embedded/fake-bridge.ts'
import { realClock, silentLogger } from '../unit/mqtt/embedded/stand-ins.ts'

interface Running extends AsyncDisposable {
  readonly broker: EmbeddedBroker
  readonly logger: ReturnType<typeof silentLogger>
  device(options?: Partial<RawMqttOptions>): Promise<RawMqtt>
  /** A bridge that is connected and subscribes to everything unless told otherwise. */
  bridge(filter?: string, qos?: 0 | 1 | 2): Promise<FakeBridge>
}

async function run(
  config: Partial<EmbeddedConfig> = {},
  limits: Partial<EmbeddedLimits> = {},
): Promise<Running> {
  const logger = silentLogger()
  const deps = { logger, clock: realClock(), bridgeClientId: 'bridge', limits }
  const broker = new EmbeddedBroker({ listen: '127.0.0.1:0', ...config }, deps)
  await broker.start()
  const devices: RawMqtt[] = []
  return {
    broker,
    logger,
    async device(options = {}) {
      const device = await connectMqtt({ port: broker.port, version: 4, ...options })
      devices.push(device)
      return device
    },
    async bridge(filter, qos) {
      const bridge = new FakeBridge(broker.dialLocal())
      await bridge.connect()
      await bridge.subscribe(filter, qos)
      return bridge
    },
    async [Symbol.asyncDispose]() {
      for (const device of devices) await device.destroy()
      await broker.stop()
    },
  }
}

const texts = (device: RawMqtt) => device.received.map(({ payload }) => payload.toString())

/** A socket that has sent CONNECT; what it is sent is kept. */
async function rawDevice(
  port: number,
  clientId: string,
): Promise<{ socket: Socket; bytes: () => Buffer }> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  let bytes = Buffer.alloc(0)
  socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk])
  })
  socket.write(
    generate({
      cmd: 'connect',
      clientId,
      clean: true,
      protocolId: 'MQTT',
      protocolVersion: 4,
      keepalive: 0,
    }),
  )
  await eventually('CONNACK', () => bytes.length >= 4)
  return { socket, bytes: () => bytes }
}

describe('devices among themselves', () => {
  test.each([0, 1, 2] as const)(
    'a QoS %d message reaches a subscriber with its QoS',
    async (qos) => {
      await using env = await run()
      await env.bridge('other/#')
      const [a, b] = [await env.device(), await env.device()]
      await b.subscribe('t/+', { qos: 2 })
      await a.publish('t/x', 'hello', { qos })
      expect(await b.take(1)).toMatchObject([{ topic: 't/x', qos, retain: false }])
      expect(texts(b)).toEqual(['hello'])
    },
  )

  test('a retained message reaches who subscribes later, until an empty one deletes it', async () => {
    await using env = await run()
    await env.bridge()
    const a = await env.device()
    await a.publish('t', 'kept', { qos: 1, retain: true })
    expect(env.broker.stats.retained).toBe(1)
    const b = await env.device()
    await b.subscribe('#')
    expect(await b.take(1)).toMatchObject([{ topic: 't', retain: true }])
    await a.publish('t', '', { qos: 1, retain: true })
    expect(env.broker.stats).toMatchObject({ retained: 0, retainedBytes: 0 })
  })

  test('a will is sent when a device vanishes, to devices and to the bridge, and not after a DISCONNECT', async () => {
    await using env = await run()
    const bridge = await env.bridge()
    const watcher = await env.device()
    await watcher.subscribe('will/#')
    const will = (topic: string) => ({
      will: { topic, payload: Buffer.from('gone'), qos: 1 as const, retain: false },
    })
    const polite = await env.device(will('will/polite'))
    await polite.close()
    const crashed = await env.device(will('will/crashed'))
    await crashed.destroy()
    expect(await watcher.take(1)).toMatchObject([{ topic: 'will/crashed' }])
    expect(bridge.received.map(({ topic }) => topic)).toEqual(['will/crashed'])
  })

  test('a persistent session gets what came while it was away', async () => {
    await using env = await run()
    await env.bridge('other/#')
    const session = { clientId: 'sleeper', clean: false }
    const b = await env.device(session)
    await b.subscribe(['t/#', 't/+'], { qos: 1 })
    await b.close()
    const a = await env.device()
    for (const text of ['1', '2', '3']) await a.publish('t/x', text, { qos: 2 })
    const again = await env.device(session)
    expect(again.connack.sessionPresent).toBe(true)
    await again.take(3)
    await again.ping()
    expect(texts(again)).toEqual(['1', '2', '3'])
    expect(again.received.map(({ qos }) => qos)).toEqual([1, 1, 1])
    await again.close()
    const third = await env.device(session)
    await third.ping()
    expect(third.received).toEqual([])
  })

  test('a full session queue refuses what is newer, counts it and says so', async () => {
    await using env = await run({}, { maxQueued: 2 })
    await env.bridge('other/#')
    const session = { clientId: 'sleeper', clean: false }
    const b = await env.device(session)
    await b.subscribe('t', { qos: 1 })
    await b.close()
    const a = await env.device()
    for (const text of ['1', '2', '3']) await a.publish('t', text, { qos: 1 })
    const again = await env.device(session)
    await again.take(2)
    await again.ping()
    expect(texts(again)).toEqual(['1', '2'])
    expect(env.broker.stats.queueRefused).toBe(1)
    expect(env.logger.warnings).toContain('session queue full, message not queued')
    await a.publish('t', '4', { qos: 1 })
    expect(await again.take(3)).toHaveLength(3)
  })

  test('a session with its queue full still gets messages while it is connected', async () => {
    await using env = await run({}, { maxQueued: 2 })
    await env.bridge('other/#')
    const b = await env.device({ clientId: 'b', clean: false, autoAck: false })
    await b.subscribe('t', { qos: 2 })
    const a = await env.device()
    for (const qos of [1, 2, 1, 2] as const) await a.publish('t', `q${qos}`, { qos })
    await b.take(4)
    for (const message of b.received) b.ack(message)
    await b.ping()
    expect(b.isClosed()).toBe(false)
  })

  test('a full retained store delivers without retaining, and forgets the value it could not replace', async () => {
    await using env = await run({}, { maxRetained: 1, maxRetainedBytes: 20 })
    await env.bridge('other/#')
    const a = await env.device()
    await a.publish('a', 'first', { qos: 1, retain: true })
    await a.publish('b', 'second', { qos: 1, retain: true })
    expect(env.broker.stats).toMatchObject({ retained: 1, retainedRefused: 1 })
    await a.publish('a', 'x'.repeat(30), { qos: 1, retain: true })
    const b = await env.device()
    await b.subscribe('#')
    await b.ping()
    expect(b.received).toEqual([])
    expect(env.broker.stats).toMatchObject({ retained: 0, retainedBytes: 0, retainedRefused: 2 })
  })

  test('everything is handled that came before the end of the connection', async () => {
    await using env = await run()
    const bridge = await env.bridge()
    const { socket } = await rawDevice(env.broker.port, 'hasty')
    const packets = Array.from({ length: 500 }, (_, i) =>
      generate({
        cmd: 'publish',
        topic: 't',
        payload: String(i),
        qos: 0,
        dup: false,
        retain: false,
      }),
    )
    socket.end(Buffer.concat([...packets, generate({ cmd: 'disconnect' })]))
    await bridge.take(500)
    expect(bridge.texts()).toEqual(packets.map((_, i) => String(i)))
    await eventually('the device being gone', () => env.broker.stats.clients === 0)
  })
})

describe('what a PUBACK means', () => {
  test.each([1, 2] as const)(
    'a QoS %d publish is not acknowledged before the bridge did',
    async (qos) => {
      await using env = await run()
      const bridge = await env.bridge()
      bridge.autoAck = false
      const [a, b] = [await env.device(), await env.device()]
      await b.subscribe('#')
      let isAcked = false
      const acked = a.publish('t', 'x', { qos }).then(() => {
        isAcked = true
      })
      const [message] = await bridge.take(1)
      await a.ping()
      await b.ping()
      expect(isAcked).toBe(false)
      expect(a.packets.filter(({ cmd }) => cmd === 'pubrec')).toEqual([])
      expect(b.received).toEqual([])
      expect(env.broker.stats.held).toBe(1)
      bridge.ack(message!)
      await within('acknowledgement', 5_000, acked)
      await b.take(1)
      expect(bridge.received).toHaveLength(1)
      expect(env.broker.stats.held).toBe(0)
    },
  )

  test('what the bridge does not subscribe to is acknowledged at once', async () => {
    await using env = await run()
    const bridge = await env.bridge('mine/#')
    bridge.autoAck = false
    const a = await env.device()
    await a.publish('other', 'x', { qos: 1 })
    expect(bridge.received).toEqual([])
  })

  test('publishes are pipelined and acknowledged in their order', async () => {
    await using env = await run()
    const bridge = await env.bridge('mine/#')
    bridge.autoAck = false
    const a = await env.device()
    const acked = [1, 2, 3].map((id) =>
      a.publish(id === 2 ? 'other' : 'mine/x', '', { qos: 1, packetId: id }),
    )
    const [first, third] = await bridge.take(2)
    bridge.ack(third!)
    await a.ping()
    expect(a.packets.filter(({ cmd }) => cmd === 'puback')).toEqual([])
    bridge.ack(first!)
    await Promise.all(acked)
    const ids = a.packets.filter(({ cmd }) => cmd === 'puback').map(({ messageId }) => messageId)
    expect(ids).toEqual([1, 2, 3])
  })

  test('before the bridge subscribes publishes wait, then go their way', async () => {
    await using env = await run()
    const a = await env.device()
    const acked = Promise.all(
      ['mine/x', 'other'].map((topic) => a.publish(topic, topic, { qos: 1 })),
    )
    await eventually('both held', () => env.broker.stats.held === 2)
    const bridge = await env.bridge('mine/#')
    await within('acknowledgements', 5_000, acked)
    expect(bridge.texts()).toEqual(['mine/x'])
  })

  test.each([false, true])(
    'a bridge that comes back gets again what it had not acknowledged (clean %s)',
    async (clean) => {
      await using env = await run()
      const first = await env.bridge()
      first.autoAck = false
      const a = await env.device()
      const acked = Promise.all(['1', '2'].map((text) => a.publish('t', text, { qos: 1 })))
      await first.take(2)
      first.stream.destroy()
      await eventually('the bridge being away', () => !env.broker.bridgeConnected)
      const third = a.publish('t', '3', { qos: 1 })
      await a.ping()
      const second = new FakeBridge(env.broker.dialLocal())
      expect((await second.connect(clean)).sessionPresent).toBe(!clean)
      if (clean) await second.subscribe()
      await within('acknowledgements', 5_000, Promise.all([acked, third]))
      expect(second.texts()).toEqual(['1', '2', '3'])
      expect(second.received.map(({ dup }) => dup)).toEqual([!clean, !clean, false])
    },
  )

  test('a QoS 2 publish sent again after a reconnect reaches the bridge and the devices once', async () => {
    await using env = await run()
    const bridge = await env.bridge()
    bridge.autoAck = false
    const session = { clientId: 'once', clean: false }
    const watcher = await env.device()
    await watcher.subscribe('#')
    const a = await env.device(session)
    const lost = a.publish('t', 'x', { qos: 2, packetId: 5 }).catch(() => 'lost')
    await bridge.take(1)
    await a.destroy()
    expect(await lost).toBe('lost')
    const again = await env.device(session)
    const acked = again.publish('t', 'x', { qos: 2, packetId: 5, dup: true })
    await again.ping()
    bridge.ack(bridge.received[0]!)
    await within('PUBCOMP', 5_000, acked)
    const next = again.publish('t', 'y', { qos: 2, packetId: 5 })
    await bridge.take(2)
    bridge.ack(bridge.received[1]!)
    await within('the next PUBCOMP', 5_000, next)
    await watcher.take(2)
    expect(bridge.texts()).toEqual(['x', 'y'])
    expect(texts(watcher)).toEqual(['x', 'y'])
  })

  test('a QoS 2 publish acknowledged by the bridge while its device was away is known when sent again', async () => {
    await using env = await run()
    const bridge = await env.bridge()
    bridge.autoAck = false
    const session = { clientId: 'once', clean: false }
    const a = await env.device(session)
    const lost = a.publish('t', 'x', { qos: 2, packetId: 5 }).catch(() => 'lost')
    await bridge.take(1)
    await a.destroy()
    await lost
    bridge.ack(bridge.received[0]!)
    await bridge.expect('pubrel')
    const again = await env.device(session)
    await within('PUBCOMP', 5_000, again.publish('t', 'x', { qos: 2, packetId: 5, dup: true }))
    expect(bridge.received).toHaveLength(1)
  })

  test('a refused login with the id of a session does not touch that session', async () => {
    await using folder = await tempFolder()
    const usersFile = join(folder.path, 'users')
    writeFileSync(usersFile, await hashPassword('ann', 'secret'))
    await using env = await run({ usersFile })
    const bridge = await env.bridge()
    const login = { username: 'ann', password: 'secret', clientId: 'once' }
    bridge.autoAck = false
    const a = await env.device({ ...login, clean: false })
    a.publish('t', 'x', { qos: 2, packetId: 5 }).catch(() => 0)
    await bridge.take(1)
    await a.destroy()
    bridge.ack(bridge.received[0]!)
    await bridge.expect('pubrel')
    await expect(env.device({ ...login, password: 'wrong', clean: true })).rejects.toThrow('code 4')
    const again = await env.device({ ...login, clean: false })
    await again.publish('t', 'x', { qos: 2, packetId: 5, dup: true })
    expect(bridge.received).toHaveLength(1)
  })

  test('a clean session begins anew: a packet id says nothing about the one before', async () => {
    await using env = await run()
    const bridge = await env.bridge()
    bridge.autoAck = false
    const a = await env.device({ clientId: 'once', clean: false })
    a.publish('t', 'x', { qos: 2, packetId: 5 }).catch(() => 0)
    await bridge.take(1)
    await a.destroy()
    const fresh = await env.device({ clientId: 'once', clean: true })
    const acked = fresh.publish('t', 'y', { qos: 2, packetId: 5 })
    await bridge.take(2)
    for (const message of bridge.received) bridge.ack(message)
    await within('PUBCOMP', 5_000, acked)
    expect(bridge.texts()).toEqual(['x', 'y'])
  })

  test('a publish the bridge was never sent is forgotten with its connection', async () => {
    await using env = await run()
    const a = await env.device({ clientId: 'a', clean: false })
    const lost = a.publish('t', 'x', { qos: 1 }).catch(() => 'lost')
    await eventually('a held publish', () => env.broker.stats.held === 1)
    await a.destroy()
    await lost
    await eventually('no held publish', () => env.broker.stats.held === 0)
    const bridge = await env.bridge()
    const b = await env.device()
    await b.publish('t', 'marker', { qos: 1 })
    expect(bridge.texts()).toEqual(['marker'])
  })

  test('with too many publishes waiting devices are not read, and nothing is lost when it goes on', async () => {
    await using env = await run({}, { maxHeld: 100 })
    const bridge = await env.bridge()
    bridge.autoAck = false
    const [a, b] = [await env.device(), await env.device()]
    const messages = (name: string) =>
      Array.from({ length: 1_000 }, (_, i) => [`t/${name}`, `${name}${i}`] as const)
    const done = Promise.all([
      a.publishAll(messages('a'), { qos: 1, window: 1_000 }),
      b.publishAll(messages('b'), { qos: 1, window: 1_000 }),
    ])
    await eventually('a full gate', () => env.broker.stats.held >= 100)
    await a.ping()
    await b.ping()
    // at most two batches of each device beyond the limit
    expect(env.broker.stats.held).toBeLessThanOrEqual(100 + 4 * 64)
    bridge.autoAck = true
    for (const message of [...bridge.received]) bridge.ack(message)
    await within('all acknowledged', 20_000, done)
    for (const name of ['a', 'b']) {
      const got = bridge.texts().filter((text) => text.startsWith(name))
      expect(got).toEqual(messages(name).map(([, text]) => text))
    }
  })

  test('QoS 0 is dropped and counted while the bridge is away', async () => {
    await using env = await run()
    const [a, b] = [await env.device(), await env.device()]
    await b.subscribe('#')
    await a.publish('t', 'x')
    await b.take(1)
    expect(env.broker.stats.liveDropped).toBe(1)
  })

  test('QoS 0 waits for a bridge that does not read for a moment only', async () => {
    await using env = await run({}, { maxTowardBridge: 10_000, liveGrace: 50 })
    const bridge = await env.bridge()
    bridge.stream.pause()
    const [a, b] = [await env.device(), await env.device()]
    await b.subscribe('#')
    for (let i = 0; i < 40; i++) await a.publish('t', Buffer.alloc(10_000))
    await b.take(40)
    expect(env.broker.stats.liveDropped).toBeGreaterThan(0)
    bridge.stream.resume()
    await bridge.take(40 - env.broker.stats.liveDropped)
    const acked = a.publish('t', 'end', { qos: 1 })
    await within('PUBACK', 5_000, acked)
    expect(bridge.received).toHaveLength(41 - env.broker.stats.liveDropped)
  })
})

describe('the bridge as a client', () => {
  test.each([0, 1, 2] as const)(
    'its QoS %d message reaches devices and never comes back',
    async (qos) => {
      await using env = await run()
      const bridge = await env.bridge()
      const b = await env.device()
      await b.subscribe('#')
      const message = { topic: 't', payload: 'x', qos, dup: false, retain: true, messageId: 9 }
      bridge.send({ cmd: 'publish', ...message })
      expect(await b.take(1)).toMatchObject([{ topic: 't', qos }])
      if (qos === 1) await bridge.expect('puback')
      if (qos === 2) {
        await bridge.expect('pubrec')
        bridge.send({ cmd: 'publish', ...message, dup: true })
        await eventually('a second PUBREC', () => bridge.count('pubrec') === 2)
        bridge.send({ cmd: 'pubrel', messageId: 9 })
        await bridge.expect('pubcomp')
      }
      bridge.send({ cmd: 'pingreq' })
      await bridge.expect('pingresp')
      expect(bridge.received).toEqual([])
      expect(env.broker.stats).toMatchObject({ fromBridge: 1, retained: 1 })
    },
  )

  test('it gets what is retained when it subscribes, flagged, and live messages with their flag', async () => {
    await using env = await run()
    const first = await env.bridge('nothing')
    const a = await env.device()
    await a.publish('a/1', 'kept', { qos: 1, retain: true })
    await a.publish('b/1', 'other', { qos: 1, retain: true })
    first.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'a/#', qos: 1 }] })
    await first.take(1)
    await a.publish('a/2', 'live', { qos: 1, retain: true })
    expect(first.received).toMatchObject([
      { topic: 'a/1', retain: true, qos: 1 },
      { topic: 'a/2', retain: true, qos: 1 },
    ])
  })

  test('its messages are taken in order and acknowledged in order', async () => {
    await using env = await run()
    const bridge = await env.bridge()
    const b = await env.device()
    await b.subscribe('#', { qos: 1 })
    for (let id = 1; id <= 1_000; id++) {
      bridge.send({
        cmd: 'publish',
        topic: `t/${id % 7}`,
        payload: String(id),
        qos: 1,
        messageId: id,
        dup: false,
        retain: false,
      })
    }
    await eventually('all PUBACKs', () => bridge.count('puback') === 1_000)
    const acked = bridge.packets
      .filter(({ cmd }) => cmd === 'puback')
      .map(({ messageId }) => messageId)
    expect(acked).toEqual(Array.from({ length: 1_000 }, (_, i) => i + 1))
    await b.take(1_000)
    expect(texts(b)).toEqual(acked.map(String))
  })

  test('MQTT 5 is refused with the code of 3.1.1, a wildcard in a topic is counted and acknowledged', async () => {
    await using env = await run()
    const five = new FakeBridge(env.broker.dialLocal())
    expect((await five.connect(false, 5)).returnCode).toBe(1)
    const bridge = await env.bridge()
    bridge.send({
      cmd: 'publish',
      topic: 'a/#',
      payload: '',
      qos: 1,
      messageId: 3,
      dup: false,
      retain: false,
    })
    bridge.send({
      cmd: 'publish',
      topic: 'a/'.repeat(120),
      payload: '',
      qos: 1,
      messageId: 4,
      dup: false,
      retain: false,
    })
    await eventually('both acknowledged', () => bridge.count('puback') === 2)
    expect(env.broker.stats.bridgeRefused).toBe(2)
  })

  test.each([false, true])(
    'a common client library is at home on both ends (bridge bit %s)',
    async (bridgeMode) => {
      await using env = await run()
      const options = { protocolVersion: 4, clean: false, reconnectPeriod: 0 } as const
      const bridge = new MqttClient(() => env.broker.dialLocal(), {
        ...options,
        clientId: 'bridge',
        ...{ bridgeMode }, // absent from the library's types
      })
      const device = mqttConnect({
        ...options,
        host: '127.0.0.1',
        port: env.broker.port,
        clientId: 'd',
      })
      try {
        const got: string[] = []
        for (const client of [bridge, device]) {
          client.on('message', (topic, payload) =>
            got.push(`${client.options.clientId} ${topic} ${payload}`),
          )
          await new Promise<void>((resolve, reject) => {
            client.once('error', reject)
            client.once('connect', () => resolve())
          })
        }
        await bridge.subscribeAsync('up/#', { qos: 2 })
        await device.subscribeAsync('down/#', { qos: 2 })
        for (const qos of [0, 1, 2] as const) {
          await device.publishAsync(`up/${qos}`, 'x', { qos })
          await bridge.publishAsync(`down/${qos}`, 'y', { qos })
        }
        await eventually('all six', () => got.length === 6)
        const expected = [0, 1, 2].flatMap((qos) => [`bridge up/${qos} x`, `d down/${qos} y`])
        expect(got.sort()).toEqual(expected.sort())
      } finally {
        await Promise.all([bridge.endAsync(true), device.endAsync(true)])
      }
    },
  )

  test('nonsense on its stream ends that stream and nothing else', async () => {
    await using env = await run()
    const broken = new FakeBridge(env.broker.dialLocal())
    broken.stream.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]))
    await eventually('the end', () => broken.stream.destroyed)
    const bridge = await env.bridge()
    const a = await env.device()
    await a.publish('t', 'x', { qos: 1 })
    expect(bridge.texts()).toEqual(['x'])
  })
})

describe('who may connect', () => {
  test('with a users file a name and its password are asked for', async () => {
    await using folder = await tempFolder()
    const usersFile = join(folder.path, 'users')
    writeFileSync(usersFile, await hashPassword('ann', 'secret'))
    await using env = await run({ usersFile })
    await env.device({ username: 'ann', password: 'secret' })
    await expect(env.device()).rejects.toThrow('code 5')
    await expect(env.device({ username: 'ann', password: 'Secret' })).rejects.toThrow('code 4')
    await expect(env.device({ username: 'bob', password: 'secret' })).rejects.toThrow('code 4')
    expect(env.broker.stats.loginsRefused).toBe(3)
    const bridge = await env.bridge()
    expect(bridge.stream.destroyed).toBe(false)
  })

  test('a bad users file stops the start, naming the line', async () => {
    await using folder = await tempFolder()
    const usersFile = join(folder.path, 'users')
    writeFileSync(usersFile, '# users\nann:secret\n')
    await expect(run({ usersFile })).rejects.toMatchObject({
      code: 'USERS_FILE_INVALID',
      message: expect.stringContaining('line 2'),
    })
  })

  test('no device takes the client id of the bridge, nor keeps a session without one', async () => {
    await using env = await run()
    await expect(env.device({ clientId: 'bridge' })).rejects.toThrow('code 2')
    const socket = connect(env.broker.port, '127.0.0.1')
    const answer = new Promise<Buffer>((resolve) => socket.once('data', resolve))
    socket.write(Buffer.from([0x10, 12, 0, 4, ...Buffer.from('MQTT'), 4, 0, 0, 0, 0, 0]))
    expect([...(await within('CONNACK', 5_000, answer))]).toEqual([0x20, 2, 0, 2])
    socket.destroy()
    await env.device({ clientId: '', clean: true })
  })

  test('MQTT 5 is refused with code 1', async () => {
    await using env = await run()
    const socket = connect(env.broker.port, '127.0.0.1')
    const answer = new Promise<Buffer>((resolve) => socket.once('data', resolve))
    socket.write(
      generate({
        cmd: 'connect',
        clientId: 'v5',
        protocolId: 'MQTT',
        protocolVersion: 5,
        clean: true,
      }),
    )
    expect([...(await within('CONNACK', 5_000, answer))]).toEqual([0x20, 2, 0, 1])
    socket.destroy()
  })

  test('sessions, filters and connections have their bounds', async () => {
    await using env = await run({}, { maxSessions: 1, maxSubscriptions: 2, maxClients: 3 })
    await env.bridge()
    const a = await env.device({ clientId: 'a', clean: false })
    await expect(env.device({ clientId: 'b', clean: false })).rejects.toThrow('code 3')
    expect(await a.subscribe(['1', '2', '3'])).toEqual([2, 2, 128])
    expect(await a.subscribe('1')).toEqual([2])
    await env.device()
    await env.device()
    await expect(env.device()).rejects.toThrow(/closed|reset/i)
    expect(env.broker.stats).toMatchObject({
      clientsRefused: 1,
      subscriptionsRefused: 1,
      sessions: 1,
    })
  })

  test('without users on an address others reach it warns', async () => {
    await using open = await run({ listen: '0.0.0.0:0' })
    expect(open.logger.warnings).toHaveLength(1)
    await using local = await run()
    expect(local.logger.warnings).toEqual([])
  })
})

describe('TLS', () => {
  test('serves TLS, and a renewed certificate from the next connection on', async () => {
    await using folder = await tempFolder()
    const [certFile, keyFile] = [join(folder.path, 'c.pem'), join(folder.path, 'k.pem')]
    const pki = await makePki()
    const [old, renewed] = [await pki.issue('old'), await pki.issue('renewed')]
    const put = ({ cert, key }: { cert: string; key: string }) => {
      writeFileSync(certFile, cert)
      writeFileSync(keyFile, key)
    }
    put(old)
    await using env = await run({ certFile, keyFile })
    const bridge = await env.bridge()
    const subject = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connectTls({
          port: env.broker.port,
          host: '127.0.0.1',
          ca: pki.ca,
          servername: 'localhost',
        })
        socket.once('error', reject)
        socket.once('secureConnect', () => {
          resolve(String(socket.getPeerCertificate().subject.CN))
          socket.destroy()
        })
      })
    const a = await env.device({ tls: { ca: pki.ca } })
    await a.publish('t', 'x', { qos: 1 })
    expect(bridge.texts()).toEqual(['x'])
    await a.close()
    expect(await subject()).toBe('old')
    put(renewed)
    await eventually('the renewed certificate', async () => (await subject()) === 'renewed')
    writeFileSync(certFile, 'nonsense')
    await eventually('the report', async () => {
      expect(await subject()).toBe('renewed')
      return env.logger.failures.some(({ code }) => code === 'TLS_FILE_UNREADABLE')
    })
  })

  test('missing keys stop the start', async () => {
    const starting = run({ certFile: '/nowhere/c', keyFile: '/nowhere/k' })
    await expect(starting).rejects.toMatchObject({ code: 'TLS_FILE_UNREADABLE' })
  })
})

describe('bad and slow devices', () => {
  test('a device that does not read is cut off, and the others never notice', async () => {
    await using env = await run({}, { maxOutbound: 256 * 1024 })
    await env.bridge('other/#')
    const { socket: slow } = await rawDevice(env.broker.port, 'slow')
    slow.write(
      generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 1 }] }),
    )
    const [a, b] = [await env.device(), await env.device()]
    await b.subscribe('#')
    await a.ping()
    slow.pause()
    const payload = Buffer.alloc(20_000)
    const sent = performance.now()
    for (let i = 0; i < 1_000; i++) await a.publish('t', payload, { qos: 1 })
    await b.take(1_000)
    expect(performance.now() - sent).toBeLessThan(20_000)
    expect(env.broker.stats.closed.slow).toBe(1)
    expect(env.logger.warnings).toContain('device connection closed: slow')
    slow.destroy()
  })

  test('while its publish waits a device is still heard: pings are answered and it is not cut off', async () => {
    await using env = await run()
    const bridge = await env.bridge()
    bridge.autoAck = false
    const a = await env.device({ keepalive: 1 })
    const acked = a.publish('t', 'x', { qos: 1 })
    await bridge.take(1)
    const until = performance.now() + 2_500
    await eventually(
      'three keepalives',
      async () => {
        await a.ping()
        return performance.now() > until
      },
      { interval: 400 },
    )
    bridge.ack(bridge.received[0]!)
    await within('PUBACK', 5_000, acked)
  })

  test('a silent device is cut off after one and a half keepalives and its will sent', async () => {
    await using env = await run()
    const bridge = await env.bridge()
    const will = { topic: 'will', payload: Buffer.from('gone'), qos: 1 as const, retain: false }
    const a = await env.device({ keepalive: 1, will })
    await within('the cut', 5_000, a.closed)
    expect(env.broker.stats.closed.keepalive).toBe(1)
    await bridge.take(1)
  })

  test('a connection without CONNECT is closed', async () => {
    await using env = await run({}, { connectTimeout: 100 })
    const socket = connect(env.broker.port, '127.0.0.1')
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.on('error', () => undefined).resume()
    await within('the close', 5_000, closed)
  })

  test.each([
    [
      'no MQTT at all',
      Buffer.from(`GET / HTTP/1.1\r\nhost: ${'x'.repeat(60)}\r\n\r\n`),
      'malformed',
    ],
    ['an endless length', Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0xff]), 'malformed'],
    ['a large packet', Buffer.from([0x30, 0xff, 0xff, 0x7f]), 'tooLarge'],
    ['QoS 3', Buffer.from([0x36, 5, 0, 1, 97, 0, 1]), 'malformed'],
    ['a topic over its end', Buffer.from([0x30, 3, 0, 9, 97]), 'malformed'],
    [
      'a wildcard in the topic',
      generate({ cmd: 'publish', topic: 'a/#', payload: '', qos: 0, dup: false, retain: false }),
      'error',
    ],
    [
      'the topics of the broker',
      generate({
        cmd: 'publish',
        topic: '$SYS/x',
        payload: '',
        qos: 1,
        messageId: 1,
        dup: false,
        retain: false,
      }),
      'error',
    ],
    [
      'too many levels',
      generate({
        cmd: 'publish',
        topic: 'a/'.repeat(200),
        payload: '',
        qos: 1,
        messageId: 1,
        dup: false,
        retain: false,
      }),
      'error',
    ],
    [
      'a second CONNECT',
      generate({
        cmd: 'connect',
        clientId: 'x',
        protocolId: 'MQTT',
        protocolVersion: 4,
        clean: true,
      }),
      'error',
    ],
  ] as const)(
    '%s closes that connection, is counted, and harms nobody',
    async (_, bytes, cause) => {
      await using env = await run()
      await env.bridge()
      const other = await env.device()
      const { socket } = await rawDevice(env.broker.port, 'bad')
      const closed = new Promise((resolve) => socket.once('close', resolve))
      socket.write(bytes)
      await within('the close', 5_000, closed)
      expect(env.broker.stats.closed[cause]).toBe(1)
      await other.publish('t', 'x', { qos: 1 })
    },
  )

  test('random bytes after a CONNECT never take the broker down', async () => {
    await using env = await run()
    const bridge = await env.bridge()
    for (let round = 0; round < 100; round++) {
      const { socket } = await rawDevice(env.broker.port, `r${round}`)
      const bytes = Buffer.from(
        Array.from({ length: 60 }, (_, i) => (round * 131 + i * 89 + ((i * round) % 253)) & 0xff),
      )
      bytes[0] = ((round % 16) << 4) | (round % 3)
      bytes[1] = 20
      socket.end(bytes)
      await new Promise((resolve) => socket.once('close', resolve))
    }
    const a = await env.device()
    await a.publish('alive', 'yes', { qos: 1 })
    expect(bridge.received.at(-1)?.topic).toBe('alive')
  })

  test('a packet in single bytes and two in one read are both understood', async () => {
    await using env = await run()
    const bridge = await env.bridge()
    const { socket, bytes } = await rawDevice(env.broker.port, 'drip')
    socket.setNoDelay(true)
    const one = generate({
      cmd: 'publish',
      topic: 't',
      payload: 'x'.repeat(200),
      qos: 1,
      messageId: 1,
      dup: false,
      retain: false,
    })
    for (const byte of one) {
      await new Promise<void>((resolve) => socket.write(Buffer.from([byte]), () => resolve()))
    }
    const two = generate({
      cmd: 'publish',
      topic: 't',
      payload: 'y',
      qos: 1,
      messageId: 2,
      dup: false,
      retain: false,
    })
    socket.write(Buffer.concat([generate({ cmd: 'pingreq' }), two, generate({ cmd: 'pingreq' })]))
    await bridge.take(2)
    const acks: string[] = []
    await eventually('all answers', () => {
      acks.length = 0
      const reading = parser()
      reading.on('packet', ({ cmd }) => acks.push(cmd))
      reading.parse(bytes())
      return acks.length === 5
    })
    expect(acks.sort()).toEqual(['connack', 'pingresp', 'pingresp', 'puback', 'puback'])
    socket.destroy()
  })
})

describe('start and stop', () => {
  test('stop leaves nothing listening and nobody connected, also a second time', async () => {
    const env = await run()
    const bridge = await env.bridge()
    bridge.autoAck = false
    const a = await env.device()
    a.publish('t', 'x', { qos: 1 }).catch(() => 0)
    await bridge.take(1)
    const { port } = env.broker
    await Promise.all([env.broker.stop(), env.broker.stop()])
    await within('the device being closed', 5_000, a.closed)
    await eventually('the bridge being closed', () => bridge.stream.destroyed)
    expect(a.packets.filter(({ cmd }) => cmd === 'puback')).toEqual([])
    await expect(connectMqtt({ port, version: 4 })).rejects.toThrow(/ECONNREFUSED|closed/)
    expect(env.broker.port).toBe(0)
  })

  test('an address in use fails the start', async () => {
    await using env = await run()
    const starting = run({ listen: `127.0.0.1:${env.broker.port}` })
    await expect(starting).rejects.toMatchObject({ code: 'LISTEN_FAILED' })
  })

  test.each(['1883', 'host', 'host:99999', '::1:x'])(
    'the address %j is refused',
    async (listen) => {
      await expect(run({ listen })).rejects.toMatchObject({ code: 'LISTEN_FAILED' })
    },
  )

  test('a broker stopped while it starts does not listen, and starts no more', async () => {
    const deps = { logger: silentLogger(), clock: realClock(), bridgeClientId: 'bridge' }
    const broker = new EmbeddedBroker({ listen: '127.0.0.1:0' }, deps)
    const starting = broker.start()
    await broker.stop()
    await starting
    expect(broker.port).toBe(0)
    const late = new EmbeddedBroker({ listen: '127.0.0.1:0' }, deps)
    await late.stop()
    await expect(late.start()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
  })

  test('a broker that never started can be stopped', async () => {
    const deps = { logger: silentLogger(), clock: realClock(), bridgeClientId: 'bridge' }
    await new EmbeddedBroker({ listen: '127.0.0.1:0' }, deps).stop()
  })
})
