import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { Aedes } from 'aedes'
import { describe, expect, test } from 'vitest'
import { createWebSocketStream, WebSocketServer } from 'ws'
import type { Secret } from '../../src/core/config.ts'
import { BridgeError } from '../../src/core/errors.ts'
import { eventually } from '../support/eventually.ts'
import { startMosquitto } from '../support/mosquitto.ts'
import { type SessionUnderTest, scriptedServer, startSession } from '../support/mqtt-host.ts'
import { makePki, sharedPki } from '../support/pki.ts'
import { freePort } from '../support/ports.ts'

const up = (under: SessionUnderTest, times = 1) =>
  eventually(`connection ${times}`, () => under.host.ups.length >= times)
const failed = (under: SessionUnderTest, code: string) =>
  eventually(`failure ${code}`, () => under.report.failures.has(code))

/** A 3.1.1 broker in process that keeps its CONNECT packets. */
async function startAedes() {
  const broker = await Aedes.createBroker()
  const connects: { protocolVersion: number; bridgeMode: boolean }[] = []
  broker.preConnect = (_client, packet, done) => {
    const { protocolVersion = 0, bridgeMode = false } = packet as never as Record<string, never>
    connects.push({ protocolVersion, bridgeMode })
    done(null, true)
  }
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    broker.handle(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    broker,
    connects,
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      await new Promise<void>((resolve) => broker.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** A password that can be changed, and be missing. */
function changingSecret(first: string | undefined) {
  let value = first
  const secret: Secret = {
    origin: 'file password',
    read() {
      if (value !== undefined) return value
      throw new BridgeError("reading the secret 'password': no such file", {
        code: 'SECRET_UNREADABLE',
      })
    },
  }
  return {
    secret,
    change: (next: string) => {
      value = next
    },
  }
}

describe('mqtt session at mosquitto', () => {
  test('connects with MQTT 5, says what was agreed and leaves with a DISCONNECT', async () => {
    await using broker = await startMosquitto({ config: 'max_inflight_messages 33' })
    const under = await startSession({ urls: [broker.url], clientId: 'polite' })
    await up(under)
    expect(under.host.ups[0]).toMatchObject({
      protocolVersion: 5,
      sessionPresent: false,
      receiveMaximum: 33,
      topicAliasMaximum: 10,
      maximumQos: 2,
      bridgeMode: false,
      subscriptionIdentifiersAvailable: true,
      server: `localhost:${broker.port}`,
      keepalive: 30,
    })
    expect(under.report).toMatchObject({
      state: 'connected',
      protocol: 'MQTT 5',
      connects: 1,
      reasons: [],
    })
    await under.session.stop()
    await under.session.stop()
    expect(under.report).toMatchObject({ state: 'stopped', disconnects: 1, lastError: undefined })
    expect(under.host.downs.map((error) => error.code)).toEqual(['SHUTTING_DOWN'])
    await eventually('the broker noting the DISCONNECT', () =>
      broker.log().includes('Received DISCONNECT from polite'),
    )
    const resumed = await startSession({ urls: [broker.url], clientId: 'polite' })
    await up(resumed)
    expect(resumed.host.ups[0]?.sessionPresent).toBe(true)
    await resumed.session.stop()
  })

  test('subscribes with identifiers and names the filters that were refused', async () => {
    await using broker = await startMosquitto()
    await using under = await startSession({ urls: [broker.url] })
    await up(under)
    await under.session.subscribe([
      { filter: 'a/#', qos: 1, subscriptionId: 1 },
      { filter: 'b/+', qos: 2, subscriptionId: 2 },
      { filter: 'c', qos: 0 },
    ])
    expect(under.report.subscriptions).toBe(3)
    await under.session.unsubscribe(['c'])
    expect(under.report.subscriptions).toBe(2)
    const log = broker.log()
    expect(log.match(/Sending SUBACK/g)).toHaveLength(3)
    expect(log).toContain('b/+ (QoS 2)')
  })

  test('heals a refused login as soon as the password is right, dialling at once when told', async () => {
    await using broker = await startMosquitto({ users: { bridge: 'right' } })
    const password = changingSecret(undefined)
    await using under = await startSession({
      urls: [broker.url],
      username: 'bridge',
      password: password.secret,
    })
    await failed(under, 'SECRET_UNREADABLE')
    password.change('wrong')
    under.session.retryNow()
    await failed(under, 'MQTT_AUTH')
    expect(under.report.authErrors).toBeGreaterThan(0)
    expect(under.report.reasons[0]).toContain('not authorized')
    password.change('right')
    under.session.retryNow()
    await up(under)
    expect(under.report.reasons).toEqual([])
    expect(JSON.stringify(under.logger.lines)).not.toContain('wrong')
  })

  test('connects through TLS with a client certificate and reports version and expiry', async () => {
    const pki = await sharedPki()
    const tls = { certFile: pki.server.certFile, keyFile: pki.server.keyFile, caFile: pki.caFile }
    await using broker = await startMosquitto({ tls: { ...tls, verify: true } })
    const { certFile, keyFile } = pki.client
    await using under = await startSession({
      urls: [broker.url.replace('localhost:', 'localhost.:')],
      tls: { caFile: pki.caFile, certFile, keyFile },
    })
    await up(under)
    expect(under.report.tlsVersion).toBe('TLSv1.3')
    const days = (under.report.serverCertNotAfter - Date.now() / 1000) / 86_400
    expect(days).toBeGreaterThan(29)
    expect(days).toBeLessThan(31)
    // enough to need several reads into the buffer
    const filters = Array.from({ length: 2000 }, (_, n) => ({ filter: `f/${n}`, qos: 1 }) as const)
    await under.session.subscribe(filters)
    expect(under.report.subscriptions).toBe(2000)
  })

  test('tells an unknown CA, a wrong name, a missing client certificate and a bad file apart', async () => {
    const pki = await sharedPki()
    const stranger = await makePki()
    const tls = { certFile: pki.server.certFile, keyFile: pki.server.keyFile, caFile: pki.caFile }
    await using broker = await startMosquitto({ tls: { ...tls, verify: true } })
    const { certFile, keyFile } = pki.client
    const cases = [
      { code: 'TLS_UNTRUSTED', tls: { caFile: stranger.caFile, certFile, keyFile } },
      {
        code: 'TLS_NAME_MISMATCH',
        tls: { caFile: pki.caFile, certFile, keyFile, serverName: 'other.test' },
      },
      { code: 'TLS_HANDSHAKE', tls: { caFile: pki.caFile } },
      { code: 'TLS_FILE_UNREADABLE', tls: { caFile: `${pki.caFile}.missing` } },
      { code: 'TLS_FILE_UNREADABLE', tls: { caFile: pki.caFile, certFile: keyFile, keyFile } },
    ]
    for (const { code, tls: client } of cases) {
      await using under = await startSession({ urls: [broker.url], tls: client })
      await failed(under, code)
      expect(under.host.ups).toEqual([])
    }
    const expired = await pki.issue('expired', { days: -1 })
    await using old = await startMosquitto({ tls: expired })
    await using under = await startSession({ urls: [old.url], tls: { caFile: pki.caFile } })
    await failed(under, 'TLS_CERT_EXPIRED')
  })

  test('goes on to the second URL when the first is dead', async () => {
    await using broker = await startMosquitto()
    const dead = `mqtt://127.0.0.1:${await freePort()}`
    await using under = await startSession({ urls: [dead, broker.url] })
    await up(under)
    expect(under.report.failures).toEqual(new Map([['CONNECT_REFUSED', 1]]))
    expect(under.host.ups[0]?.server).toBe(`localhost:${broker.port}`)
  })

  test('comes back after the broker was killed, with its session from a persistent one', async () => {
    await using broker = await startMosquitto({ persistence: true })
    await using under = await startSession({ urls: [broker.url] })
    await up(under)
    await under.session.subscribe([{ filter: 'a', qos: 1 }])
    await broker.restart()
    await up(under, 2)
    expect(under.host.ups[1]?.sessionPresent).toBe(true)
    expect(under.host.downs).toHaveLength(1)
    expect(under.report).toMatchObject({ connects: 2, reconnects: 1, disconnects: 1 })
    await broker.kill()
    await eventually('the second loss', () => under.host.downs.length === 2)
    expect(under.report.subscriptions).toBe(0)
    await broker.restart()
    await up(under, 3)
  })

  test('makes way for another client of the same id, waits, and dials again', async () => {
    await using broker = await startMosquitto()
    await using first = await startSession({ urls: [broker.url], clientId: 'same' })
    await up(first)
    const second = await startSession({ urls: [broker.url], clientId: 'same' })
    await eventually('the takeover', () => first.host.downs.length > 0)
    await eventually('waiting', () => first.report.state === 'waiting')
    await second.session.stop()
    await up(first, 2)
  })

  test('recycles the connection when told, and dials again', async () => {
    await using broker = await startMosquitto()
    await using under = await startSession({ urls: [broker.url] })
    await up(under)
    under.session.recycle(new BridgeError('holding the lane', { code: 'LINK_LOST' }))
    await up(under, 2)
    expect(under.host.downs[0]?.message).toBe('holding the lane')
  })
})

describe('mqtt session keepalive', () => {
  test('measures the round trip and stays up on its own pings', async () => {
    await using broker = await startMosquitto()
    await using under = await startSession({ urls: [broker.url], keepalive: 1 })
    await up(under)
    await eventually('a measured round trip', () => under.report.rtt > 0)
    expect(under.report.rtt).toBeLessThan(1)
  })

  test('stays up while reading is held for three keepalives, when it is asked to', async () => {
    await using broker = await startMosquitto()
    await using under = await startSession({ urls: [broker.url], keepalive: 1 })
    await up(under)
    under.host.holding = true
    let kept = 0
    const end = performance.now() + 3_200
    await eventually(
      'three keepalives',
      () => {
        under.session.keepAlive()
        kept++
        return performance.now() >= end
      },
      { interval: 300 },
    )
    expect(kept).toBeGreaterThan(8)
    under.host.holding = false
    expect(under.host.downs).toEqual([])
    const { rtt } = under.report
    await eventually('an answered ping', () => under.report.rtt !== rtt)
    expect(under.host.downs).toEqual([])
  })

  test('takes a silent peer for gone within one and a half keepalives', async () => {
    await using broker = await startMosquitto()
    await using under = await startSession({ urls: [broker.url], keepalive: 1 })
    await up(under)
    under.host.holding = true
    const from = performance.now()
    await eventually('the half-open link', () => under.host.downs.length > 0, { interval: 5 })
    expect(under.host.downs[0]?.code).toBe('LINK_HALF_OPEN')
    expect(performance.now() - from).toBeLessThan(1_900)
    under.host.holding = false
    await up(under, 2)
  })
})

describe('mqtt session at a 3.1.1 broker', () => {
  test('falls back once, with the bridge bit, and remembers it', async () => {
    await using broker = await startAedes()
    await using under = await startSession({ urls: [broker.url] })
    await up(under)
    expect(under.host.ups[0]).toMatchObject({ protocolVersion: 4, bridgeMode: true })
    expect(under.report).toMatchObject({ protocol: 'MQTT 3.1.1', disconnects: 0 })
    expect(under.report.failures.size).toBe(0)
    await under.session.subscribe([{ filter: 'a/#', qos: 1, subscriptionId: 7 }])
    under.session.recycle(new BridgeError('once more', { code: 'LINK_LOST' }))
    await up(under, 2)
    expect(broker.connects).toEqual([
      { protocolVersion: 5, bridgeMode: false },
      { protocolVersion: 4, bridgeMode: true },
      { protocolVersion: 4, bridgeMode: true },
    ])
    const fallbacks = under.logger.lines.filter((line) => line.message.includes('falling back'))
    expect(fallbacks).toHaveLength(1)
  })

  test('leaves the bridge bit out where it is refused', async () => {
    await using server = await scriptedServer((socket, _number, first) => {
      const version = first[8] ?? 0
      socket.write(Buffer.from([0x20, 2, 0, version === 4 ? 0 : 1]))
      if (version !== 4) socket.end()
    })
    await using under = await startSession({ urls: [server.url] })
    await up(under)
    expect(under.host.ups[0]).toMatchObject({ protocolVersion: 4, bridgeMode: false })
    expect(server.connections.map(({ received }) => received[0]?.[8])).toEqual([5, 132, 4])
  })

  test('takes two closes without an answer for a refusal of the version', async () => {
    await using server = await scriptedServer((socket, _number, first) => {
      if ((first[8] ?? 0) === 132) socket.write(Buffer.from([0x20, 2, 0, 0]))
      else socket.end()
    })
    await using under = await startSession({ urls: [server.url] })
    await up(under)
    expect(server.connections.map(({ received }) => received[0]?.[8])).toEqual([5, 5, 132])
  })

  test('names the filters a 3.1.1 broker refuses', async () => {
    await using broker = await startAedes()
    broker.broker.authorizeSubscribe = (_client, subscription, done) =>
      done(null, subscription.topic === 'secret' ? null : subscription)
    await using under = await startSession({ urls: [broker.url], protocolVersion: 4 })
    await up(under)
    const subscribed = under.session.subscribe([
      { filter: 'open', qos: 1 },
      { filter: 'secret', qos: 1 },
    ])
    await expect(subscribed).rejects.toMatchObject({
      code: 'MQTT_SUBSCRIBE_REFUSED',
      message: expect.stringContaining("'secret'"),
    })
    expect(under.report.subscriptions).toBe(1)
    expect(under.report.reasons[0]).toContain("'secret'")
    expect(under.report.state).toBe('connected')
  })
})

describe('mqtt session over WebSocket', () => {
  test('speaks subprotocol mqtt with a path, holds and resumes', async () => {
    await using broker = await startAedes()
    const http = createHttpServer()
    const sockets = new WebSocketServer({ server: http })
    const asked: (string | undefined)[] = []
    sockets.on('connection', (socket, request) => {
      asked.push(request.url, request.headers['sec-websocket-protocol'])
      const stream = createWebSocketStream(socket)
      stream.on('error', () => undefined)
      broker.broker.handle(stream as never, request)
    })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    const { port } = http.address() as AddressInfo
    const under = await startSession({ urls: [`ws://127.0.0.1:${port}/mqtt?x=1`] })
    await up(under)
    await under.session.subscribe([{ filter: 'a', qos: 1 }])
    expect(asked.slice(0, 2)).toEqual(['/mqtt?x=1', 'mqtt'])
    await under.session.stop()
    sockets.close()
    await new Promise((resolve) => http.close(resolve))
  })

  test('reports a server that does not speak WebSocket', async () => {
    await using server = await scriptedServer((socket) =>
      socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n'),
    )
    await using under = await startSession({ urls: [`ws://127.0.0.1:${server.port}`] })
    await failed(under, 'CONNECT_FAILED')
    expect(under.report.lastError?.message).toContain('404')
  })
})

describe('mqtt session at a hostile or broken server', () => {
  const malformed: readonly (readonly [string, readonly number[]])[] = [
    ['flags that do not exist', [0x20, 3, 0xff, 0, 0]],
    ['a CONNACK without a body', [0x20, 0]],
    ['a truncated property', [0x20, 5, 0, 0, 2, 33, 1]],
    ['a property that does not exist', [0x20, 5, 0, 0, 2, 0x7f, 1]],
    ['a property given twice', [0x20, 9, 0, 0, 6, 33, 0, 9, 33, 0, 9]],
    ['a zero receive maximum', [0x20, 6, 0, 0, 3, 33, 0, 0]],
    ['an endless length', [0x20, 0xff, 0xff, 0xff, 0xff, 0xff]],
    ['a SUBACK first', [0x90, 4, 0, 1, 0, 0]],
    ['a CONNECT from the server', [0x20, 3, 0, 0, 0, 0xc0, 0]],
    ['a SUBACK nobody waits for', [0x20, 3, 0, 0, 0, 0x90, 4, 0, 9, 0, 0]],
    ['a second CONNACK', [0x20, 3, 0, 0, 0, 0x20, 3, 0, 0, 0]],
    ['a reserved packet type', [0x0f, 0]],
    ['HTTP', [...Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')]],
  ]

  test.each(malformed)('survives %s and connects when the server is sane', async (_what, bytes) => {
    await using server = await scriptedServer((socket, number) =>
      socket.write(Buffer.from(number === 0 ? bytes : [0x20, 3, 0, 0, 0])),
    )
    await using under = await startSession({ urls: [server.url], connectTimeout: 1_000 })
    await failed(under, 'PROTOCOL_ERROR')
    const ups = under.host.ups.length
    await up(under, ups + (under.report.state === 'connected' ? 0 : 1))
    expect(server.connections.length).toBeGreaterThan(1)
  })

  test('survives random bytes from the server', async () => {
    let seed = 7
    const random = () => {
      seed = (seed * 1103515245 + 12345) % 2147483648
      return seed / 2147483648
    }
    await using server = await scriptedServer((socket) => {
      const noise = Array.from({ length: 2 + random() * 30 }, () => Math.floor(random() * 256))
      const heads = [0x20, 0x90, 0xb0, 0xd0, 0xe0, 0xf0, 0x40, 0x62]
      const head = heads[Math.floor(random() * heads.length)] ?? 0
      const welcome = random() < 0.5 ? [0x20, 3, 0, 0, 0] : []
      socket.end(Buffer.from([...welcome, head, noise.length, ...noise]))
    })
    await using under = await startSession({ urls: [server.url], connectTimeout: 500 })
    await eventually(
      '60 connections',
      () => {
        under.session.retryNow()
        return server.connections.length >= 60
      },
      { deadline: 25_000, interval: 2 },
    )
  })

  test('gives up an attempt when CONNACK does not come', async () => {
    await using server = await scriptedServer(() => undefined)
    await using under = await startSession({ urls: [server.url], connectTimeout: 200 })
    await failed(under, 'CONNECT_TIMEOUT')
    expect(under.report.lastError?.message).toContain('no CONNACK within 200 ms')
    await eventually('another attempt', () => server.connections.length > 1)
  })

  test('says what is wrong when MQTT meets a TLS port, and TLS an MQTT port', async () => {
    const pki = await sharedPki()
    await using secure = await startMosquitto({ tls: pki.server })
    await using plain = await scriptedServer((socket) => socket.end())
    await using a = await startSession({ urls: [secure.url.replace('mqtts', 'mqtt')] })
    await eventually('a failure', () => a.report.failures.size > 0)
    expect(['PROTOCOL_ERROR', 'CONNECT_FAILED']).toContain(a.report.lastError?.code)
    await using b = await startSession({ urls: [plain.url.replace('mqtt', 'mqtts')] })
    await failed(b, 'TLS_HANDSHAKE')
  })

  test('logs the same failure once, however often it repeats', async () => {
    const url = `mqtt://127.0.0.1:${await freePort()}`
    await using under = await startSession({ urls: [url] })
    await eventually('five attempts', () => {
      under.session.retryNow()
      return (under.report.failures.get('CONNECT_REFUSED') ?? 0) >= 5
    })
    expect(under.logger.lines.filter((line) => line.level === 'warn')).toHaveLength(1)
    expect(under.report.reasons[0]).toContain('connection refused')
  })

  test('stops at once while it dials, waits or is not started', async () => {
    await using server = await scriptedServer(() => undefined)
    const dialling = await startSession({ urls: [server.url] })
    await eventually('the connection', () => server.connections.length > 0)
    await dialling.session.stop()
    expect(dialling.report.state).toBe('stopped')
    const waiting = await startSession({ urls: [`mqtt://127.0.0.1:${await freePort()}`] })
    await eventually('waiting', () => waiting.report.state === 'waiting')
    await waiting.session.stop()
    expect(waiting.report.state).toBe('stopped')
    await waiting.session.start()
    expect(waiting.report.state).toBe('stopped')
    await expect(waiting.session.subscribe([{ filter: 'a', qos: 0 }])).rejects.toMatchObject({
      code: 'LINK_LOST',
    })
  })

  test('leaves within its deadline also with an open SUBSCRIBE and a peer that does not close', async () => {
    await using server = await scriptedServer(
      (socket) => socket.write(Buffer.from([0x20, 3, 0, 0, 0])),
      { allowHalfOpen: true },
    )
    const under = await startSession({ urls: [server.url] })
    await up(under)
    const refused = expect(
      under.session.subscribe([{ filter: 'a', qos: 1 }]),
    ).rejects.toMatchObject({ code: 'LINK_LOST' })
    await eventually('SUBSCRIBE', () => (server.connections[0]?.received.length ?? 0) > 1)
    const from = performance.now()
    await under.session.stop()
    expect(performance.now() - from).toBeLessThan(3_000)
    await refused
    const sent = Buffer.concat(server.connections[0]?.received ?? [])
    expect([...sent.subarray(-4)]).toEqual([0xe0, 2, 0, 0])
  })

  test.each([
    [0x8e, 'MQTT_TAKEN_OVER', 'session taken over'],
    [0x87, 'MQTT_AUTH', 'not authorized'],
    [0x8d, 'LINK_HALF_OPEN', 'keep alive timeout'],
    [0x8b, 'LINK_LOST', 'server shutting down'],
  ])('reads the reason of a DISCONNECT with code %i as %s', async (code, expected, text) => {
    await using server = await scriptedServer((socket) =>
      socket.end(Buffer.from([0x20, 3, 0, 0, 0, 0xe0, 1, code])),
    )
    await using under = await startSession({ urls: [server.url] })
    await eventually('the end', () => under.host.downs.length > 0)
    expect(under.host.downs[0]).toMatchObject({ code: expected })
    expect(under.host.downs[0]?.message).toContain(text)
    await up(under, 2)
  })
})

test('the server scripts reach a port of this machine', async () => {
  await using server = await scriptedServer((socket) => socket.end())
  const socket = connect(server.port, '127.0.0.1')
  await new Promise<void>((resolve) => socket.once('connect', resolve))
  socket.end('x')
  await new Promise((resolve) => socket.once('close', resolve))
  expect(server.connections).toHaveLength(1)
})
