import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { createStream, publishStored, readStream, streamInfo } from '../support/jetstream.ts'
import { mqttLoad, natsLoad } from '../support/load.ts'
import { startMosquitto } from '../support/mosquitto.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { makeOperator } from '../support/operator.ts'
import { numbering, Oracle } from '../support/oracle.ts'
import { makePki, sharedPki } from '../support/pki.ts'
import { startProxy } from '../support/proxy.ts'
import { connectMqtt } from '../support/raw-mqtt.ts'
import { connectNats, header } from '../support/raw-nats.ts'

describe('a nats-server in operator mode with TLS first', () => {
  it('takes a bearer JWT, moves a message and keeps its streams over a restart and a kill', async () => {
    const [pki, operator] = [await sharedPki(), await makeOperator()]
    await using server = await startNatsServer({
      operator,
      jetstream: true,
      tls: pki.server,
      handshakeFirst: true,
    })
    const tls = { ca: pki.ca, handshakeFirst: true }
    const { jwt } = await operator.userJwt({ account: 'IOT', bearer: true })
    const connect = () => connectNats({ port: server.port, tls, jwt })
    {
      await using nats = await connect()
      await createStream(nats, 'KEPT', ['kept.>'])
      const sub = nats.subscribe('kept.*')
      await publishStored(nats, 'kept.one', 'first', { 'X-Name': 'a b' })
      const [message] = await sub.take(1)
      expect(message?.data.toString()).toBe('first')
      expect(header(message!, 'X-Name')).toBe('a b')
    }
    await server.restart()
    {
      await using nats = await connect()
      await publishStored(nats, 'kept.two', 'second')
    }
    await server.kill()
    await server.restart()
    await using nats = await connect()
    const stored = await readStream(nats, 'KEPT')
    expect(stored.map((m) => [m.seq, m.subject, m.data.toString()])).toEqual([
      [1, 'kept.one', 'first'],
      [2, 'kept.two', 'second'],
    ])
    expect(stored[0]?.headers).toContainEqual(['X-Name', 'a b'])
    expect(await server.varz()).toMatchObject({ version: '2.12.3' })
  })

  it('takes a JWT with its seed, refuses one that is expired or lacks its seed, and drops a revoked one', async () => {
    const operator = await makeOperator()
    await using server = await startNatsServer({ operator, jetstream: true })
    const { port } = server
    const good = await operator.userJwt({ account: 'SERVICES' })
    const connected = await connectNats({ port, jwt: good.jwt, seed: good.seed })
    await expect(connectNats({ port, jwt: good.jwt })).rejects.toThrow('Authorization Violation')
    const old = await operator.userJwt({ account: 'IOT', bearer: true, expiresIn: -5 })
    await expect(connectNats({ port, jwt: old.jwt })).rejects.toThrow('Authorization Violation')

    await operator.pushRevocation({ port }, 'SERVICES', good.publicKey)
    await connected.closed
    expect(connected.errors.join()).toContain('Revoked')
  })

  it('offers its MQTT port to a bearer JWT over TLS', async () => {
    const [pki, operator] = [await sharedPki(), await makeOperator()]
    await using server = await startNatsServer({ operator, mqtt: true, tls: pki.server })
    const { jwt } = await operator.userJwt({ account: 'IOT', bearer: true })
    await using nats = await connectNats({ port: server.port, tls: { ca: pki.ca }, jwt })
    await using mqtt = await connectMqtt({
      port: server.mqttPort,
      tls: { ca: pki.ca },
      version: 4,
      username: 'any',
      password: jwt,
    })
    const sub = nats.subscribe('a.b')
    await nats.flush()
    await mqtt.publish('a/b', 'hello', { qos: 1 })
    const [message] = await sub.take(1)
    expect(message?.data.toString()).toBe('hello')
  })
})

describe('a mosquitto with TLS, users and persistence', () => {
  it('moves messages of each QoS and keeps a session over a restart', async () => {
    const pki = await sharedPki()
    await using broker = await startMosquitto({
      tls: { ...pki.server, caFile: pki.caFile, verify: true },
      users: { ann: 'secret' },
      persistence: true,
    })
    const tls = { ca: pki.ca, cert: pki.client.cert, key: pki.client.key }
    const login = { port: broker.port, tls, username: 'ann', password: 'secret' }
    await using listener = await connectMqtt({ ...login, clientId: 'kept', clean: false })
    expect(await listener.subscribe('t/#')).toEqual([2])
    await using sender = await connectMqtt({ ...login, version: 4 })
    for (const qos of [0, 1, 2] as const) await sender.publish(`t/${qos}`, `m${qos}`, { qos })
    const got = await listener.take(3)
    expect(got.map((m) => [m.topic, m.payload.toString(), m.qos])).toEqual([
      ['t/0', 'm0', 0],
      ['t/1', 'm1', 1],
      ['t/2', 'm2', 2],
    ])
    await listener.close()
    await sender.publish('t/later', 'stored', { qos: 1 })
    await broker.restart()
    await using again = await connectMqtt({ ...login, clientId: 'kept', clean: false })
    expect(again.connack.sessionPresent).toBe(true)
    const [stored] = await again.take(1)
    expect(stored?.payload.toString()).toBe('stored')
  })

  it('remembers what it saved when it is killed, and refuses strangers', async () => {
    const [pki, other] = [await sharedPki(), await makePki()]
    await using broker = await startMosquitto({
      tls: pki.server,
      users: { ann: 'secret' },
      persistence: true,
    })
    const { port } = broker
    const login = { port, tls: { ca: pki.ca }, username: 'ann', password: 'secret' }
    await expect(connectMqtt({ ...login, tls: { ca: other.ca } })).rejects.toThrow('certificate')
    await expect(connectMqtt({ ...login, password: 'wrong' })).rejects.toThrow('refused')
    const sender = await connectMqtt(login)
    await sender.publish('r', 'retained', { qos: 1, retain: true })
    await broker.save()
    await broker.kill()
    await sender.closed
    await broker.restart()
    await using reader = await connectMqtt(login)
    await reader.subscribe('r')
    expect((await reader.take(1))[0]).toMatchObject({ topic: 'r', retain: true })
  })
})

describe('loads through a proxy that breaks connections', () => {
  it('get every MQTT message of QoS 2 to the broker exactly once and in order', async () => {
    await using broker = await startMosquitto()
    await using proxy = await startProxy(broker.port)
    const numbers = numbering('load')
    const oracle = new Oracle('load', [1000, 1000], (topic) => `t/${topic}`)
    await using reader = await connectMqtt({
      port: broker.port,
      onMessage: (m) => oracle.arrive(m.topic, m.payload),
    })
    await reader.subscribe('t/#')
    await using load = mqttLoad(
      { port: proxy.port },
      {
        rate: 5000,
        count: 2000,
        qos: 2,
        message: (n) => ({ name: `t/${n % 2}`, payload: numbers.make(n % 2, Math.floor(n / 2)) }),
      },
    )
    for (const part of [300, 900, 1500]) {
      await eventually(`${part} messages sent`, () => load.sent() >= part)
      proxy.cut()
    }
    await load.done
    await eventually('all to arrive', () => oracle.complete())
    expect(oracle.verdict()).toMatchObject({ lost: 0, doubled: 0, reordered: 0, foreign: 0 })
    expect(load.connects()).toBeGreaterThan(1)
  })

  it('get every message into a stream once and in order, also over a kill of the server', async () => {
    await using server = await startNatsServer({ jetstream: true })
    await using proxy = await startProxy(server.port)
    const { port } = server
    {
      await using nats = await connectNats({ port })
      await createStream(nats, 'LOAD', ['load.>'])
    }
    const numbers = numbering('load')
    await using load = natsLoad(
      { port: proxy.port },
      {
        name: 'load',
        rate: 5000,
        count: 2000,
        message: (n) => ({ name: 'load.x', payload: numbers.make(0, n, 50) }),
      },
    )
    await eventually('500 messages sent', () => load.sent() >= 500)
    proxy.cut()
    await eventually('1000 messages sent', () => load.sent() >= 1000)
    await server.kill()
    await server.restart()
    await load.done
    await using nats = await connectNats({ port })
    expect((await streamInfo(nats, 'LOAD')).state.messages).toBe(2000)
    const oracle = new Oracle('load', [2000])
    for (const m of await readStream(nats, 'LOAD')) oracle.arrive(m.subject, m.data)
    expect(oracle.verdict()).toMatchObject({ lost: 0, doubled: 0, reordered: 0, foreign: 0 })
  })
})

describe('child processes of the kit', () => {
  it('are gone after disposal', async () => {
    const pids: number[] = []
    {
      await using server = await startNatsServer()
      await using broker = await startMosquitto()
      pids.push(server.pid(), broker.pid())
      for (const pid of pids) expect(process.kill(pid, 0)).toBe(true)
    }
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })
})
