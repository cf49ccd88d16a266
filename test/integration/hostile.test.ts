import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { type BridgeHere, startBridgeHere } from '../support/bridge-in-process.ts'
import { RUNBOOK_ROUTE, texts } from '../support/bridge-stage.ts'
import { eventually } from '../support/eventually.ts'
import { startMosquitto } from '../support/mosquitto.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { connectMqtt } from '../support/raw-mqtt.ts'
import { connectNats } from '../support/raw-nats.ts'
import {
  MQTT,
  natsInfo,
  type PeerConnection,
  type ScriptedPeer,
  startScriptedPeer,
} from '../support/scripted-peer.ts'

/** Growth of this process's memory that nothing here may cause, bytes. */
const BOUND = 100 * 1024 * 1024

/** Connections after the hostile ones lead to a real server. */
function passOn(peer: PeerConnection, port: number): void {
  const target = connect(port, '127.0.0.1')
  target.on('error', () => peer.socket.destroy())
  peer.socket.on('close', () => target.destroy())
  target.on('close', () => peer.socket.destroy())
  peer.socket.pipe(target).pipe(peer.socket)
}

/** SUBACK for the one filter of a SUBSCRIBE, in MQTT 5. */
const suback = (subscribe: Buffer) =>
  Buffer.from([0x90, 4, subscribe[2] ?? 0, subscribe[3] ?? 0, 0, 1])

/** A QoS 1 PUBLISH of MQTT 5. */
function publish(topic: string, packetId: number): Buffer {
  const name = Buffer.from(topic)
  const head = [0x32, 2 + name.length + 3 + 1, 0, name.length]
  return Buffer.concat([Buffer.from(head), name, Buffer.from([0, packetId, 0, 0x78])])
}

interface Hostile {
  readonly what: string
  readonly code: string
  /** What the peer sends, once the session stands. */
  readonly bytes: Uint8Array | string
}

const AFTER_SUBACK: readonly Hostile[] = [
  {
    what: 'a remaining length of five bytes',
    code: 'PROTOCOL_ERROR',
    bytes: [0x30, 255, 255, 255, 255, 1],
  },
  { what: 'packet type 0', code: 'PROTOCOL_ERROR', bytes: [0x00, 0x00] },
  { what: 'a PUBLISH of QoS 3', code: 'PROTOCOL_ERROR', bytes: [0x36, 4, 0, 1, 0x61, 0] },
  {
    what: 'a PUBLISH whose topic is longer than the packet',
    code: 'PROTOCOL_ERROR',
    bytes: [0x30, 4, 0, 200, 0x61, 0],
  },
  { what: 'a PUBLISH without a packet id', code: 'PROTOCOL_ERROR', bytes: [0x32, 3, 0, 1, 0x61] },
  {
    what: 'a topic alias that was never set',
    code: 'PROTOCOL_ERROR',
    bytes: [0x30, 6, 0, 0, 3, 0x23, 0, 9],
  },
  { what: 'a PUBACK without a packet id', code: 'PROTOCOL_ERROR', bytes: [0x40, 0] },
].map(({ what, code, bytes }) => ({ what, code, bytes: Uint8Array.from(bytes) }))

/** A bridge whose broker is hostile on the first connection, and a real one behind. */
async function atHostileBroker(
  script: (peer: PeerConnection) => void | Promise<void>,
  check: (bridge: BridgeHere, peer: ScriptedPeer) => Promise<void>,
): Promise<void> {
  await using broker = await startMosquitto()
  await using server = await startNatsServer()
  await using peer = await startScriptedPeer((connection) =>
    connection.number === 1 ? script(connection) : passOn(connection, broker.port),
  )
  await using bridge = await startBridgeHere(
    {
      mqtt: { url: `mqtt://127.0.0.1:${peer.port}`, clientId: 'target', connectTimeout: '1s' },
      nats: { servers: [`nats://127.0.0.1:${server.port}`] },
      routes: [RUNBOOK_ROUTE],
    },
    { waitUntilReady: false },
  )
  await check(bridge, peer)
  await bridge.untilReady()
  await using mqtt = await connectMqtt({ port: broker.port })
  await using nats = await connectNats({ port: server.port })
  const onNats = nats.subscribe('after')
  await nats.flush()
  await mqtt.publish('mqtt/after', 'all is well', { qos: 1 })
  expect(texts(await onNats.take(1))).toEqual(['after all is well'])
  expect(bridge.unbalanced()).toEqual([])
}

async function welcome(peer: PeerConnection): Promise<void> {
  await peer.expectPacket(MQTT.CONNECT)
  peer.send(MQTT.connack5)
  peer.send(suback(await peer.expectPacket(MQTT.SUBSCRIBE)))
}

const failed = (bridge: BridgeHere, side: 'mqtt' | 'nats', code: string) =>
  eventually(`${side} to fail with ${code}`, () => {
    const { failures, lastError } = bridge.report().links[side]
    if (!failures.has(code)) throw new Error(JSON.stringify([[...failures], lastError]))
    return true
  })

describe('a hostile broker', () => {
  for (const { what, code, bytes } of AFTER_SUBACK) {
    it(`that sends ${what} is left with a clear error, and another connection is made`, async () => {
      await atHostileBroker(
        async (peer) => {
          await welcome(peer)
          peer.send(bytes)
        },
        (bridge) => failed(bridge, 'mqtt', code).then(() => undefined),
      )
    })
  }

  it('that sends garbage behind its CONNACK is left with a clear error', async () => {
    await atHostileBroker(
      async (peer) => {
        await peer.expectPacket(MQTT.CONNECT)
        peer.send(Buffer.concat([MQTT.connack5, Buffer.alloc(2000, 0xff)]))
      },
      (bridge) => failed(bridge, 'mqtt', 'PROTOCOL_ERROR').then(() => undefined),
    )
  })

  it('that is no broker at all is left with a clear error', async () => {
    await atHostileBroker(
      (peer) => peer.send('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'),
      // the beginning of a long packet, as far as MQTT can tell
      (bridge) => failed(bridge, 'mqtt', 'CONNECT_TIMEOUT').then(() => undefined),
    )
  })

  it('that breaks off within a packet is left as lost', async () => {
    await atHostileBroker(
      async (peer) => {
        await welcome(peer)
        peer.send(publish('mqtt/cut', 1).subarray(0, 6))
        peer.socket.end()
      },
      (bridge) => failed(bridge, 'mqtt', 'LINK_LOST').then(() => undefined),
    )
  })

  it('that acknowledges ids nobody used is not left', async () => {
    await atHostileBroker(
      async (peer) => {
        await welcome(peer)
        for (const id of [1, 255, 256, 257, 65_535]) {
          for (const type of [0x40, 0x50, 0x62, 0x70]) {
            peer.send(Buffer.from([type, 2, id >> 8, id & 255]))
          }
        }
        peer.send(publish('mqtt/between', 7))
        await peer.expectBytes(Buffer.from([0x40, 2, 0, 7]))
        peer.reset()
      },
      async (bridge, peer) => {
        await peer.finished(1)
        expect(bridge.books('mqttToNats').forwardedTotal).toBe(1)
        await failed(bridge, 'mqtt', 'LINK_LOST')
      },
    )
  })

  it('that announces a packet of a quarter of a gigabyte makes the bridge hold none of it', async () => {
    const before = process.memoryUsage.rss()
    await atHostileBroker(
      async (peer) => {
        await welcome(peer)
        peer.send(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f, 0, 8]))
        peer.send('mqtt/big')
        const piece = Buffer.alloc(1024 * 1024)
        for (let n = 0; n < 128 && !peer.socket.destroyed; n++) {
          if (!peer.socket.write(piece)) {
            await Promise.race([
              new Promise((resolve) => peer.socket.once('drain', resolve)),
              peer.closed,
            ])
          }
        }
        peer.socket.destroy()
      },
      async (bridge, peer) => {
        await peer.finished(1)
        await eventually('the end of it', () => bridge.report().links.mqtt.failures.size > 0)
        expect(process.memoryUsage.rss() - before).toBeLessThan(BOUND)
      },
    )
  })
})

/** A bridge whose NATS server is hostile on the first connection, and a real one behind. */
async function atHostileServer(
  script: (peer: PeerConnection) => void | Promise<void>,
  check: (bridge: BridgeHere, peer: ScriptedPeer) => Promise<void>,
): Promise<void> {
  await using broker = await startMosquitto()
  await using server = await startNatsServer()
  await using peer = await startScriptedPeer((connection) =>
    connection.number === 1 ? script(connection) : passOn(connection, server.port),
  )
  await using bridge = await startBridgeHere(
    {
      mqtt: { url: `mqtt://127.0.0.1:${broker.port}`, clientId: 'target' },
      nats: { servers: [`nats://127.0.0.1:${peer.port}`], connectTimeout: '1s' },
      routes: [RUNBOOK_ROUTE],
    },
    { waitUntilReady: false },
  )
  await check(bridge, peer)
  await bridge.untilReady()
  await using mqtt = await connectMqtt({ port: broker.port })
  await using nats = await connectNats({ port: server.port })
  const onNats = nats.subscribe('after')
  await nats.flush()
  await mqtt.publish('mqtt/after', 'all is well', { qos: 1 })
  expect(texts(await onNats.take(1))).toEqual(['after all is well'])
  expect(bridge.unbalanced()).toEqual([])
}

/** Lets the bridge log in, and answers its first request for the streams with none. */
async function logIn(peer: PeerConnection): Promise<void> {
  peer.send(natsInfo({ jetstream: false }))
  await peer.expectBytes('PING\r\n')
  peer.send('PONG\r\n')
  await peer.expectBytes('$JS.API.STREAM.LIST')
}

const GREETINGS: readonly Hostile[] = [
  { what: 'an INFO that is no JSON', code: 'PROTOCOL_ERROR', bytes: 'INFO {nonsense}\r\n' },
  { what: 'an INFO that is a list', code: 'PROTOCOL_ERROR', bytes: 'INFO 17\r\n' },
  { what: 'no INFO', code: 'PROTOCOL_ERROR', bytes: 'SSH-2.0-OpenSSH_9.2\r\n' },
  { what: 'half an INFO', code: 'CONNECT_TIMEOUT', bytes: 'INFO {"server_id":' },
]

const AFTER_LOGIN: readonly Hostile[] = [
  { what: 'a MSG with a negative size', code: 'PROTOCOL_ERROR', bytes: 'MSG a 1000001 -5\r\n' },
  { what: 'a MSG without a size', code: 'PROTOCOL_ERROR', bytes: 'MSG a 1000001\r\n' },
  {
    what: 'a MSG of a terabyte',
    code: 'PROTOCOL_ERROR',
    bytes: 'MSG a 1000001 1099511627776\r\n',
  },
  {
    what: 'an HMSG with more headers than bytes',
    code: 'PROTOCOL_ERROR',
    bytes: 'HMSG a 1000001 50 10\r\nNATS/1.0\r\n\r\n\r\n',
  },
  { what: 'a command nobody knows', code: 'PROTOCOL_ERROR', bytes: 'WAT is this\r\n' },
]

describe('a hostile NATS server', () => {
  for (const { what, code, bytes } of GREETINGS) {
    it(`that greets with ${what} is left with a clear error, and another connection is made`, async () => {
      await atHostileServer(
        (peer) => peer.send(bytes),
        (bridge) => failed(bridge, 'nats', code).then(() => undefined),
      )
    })
  }

  for (const { what, code, bytes } of AFTER_LOGIN) {
    it(`that sends ${what} is left with a clear error, and another connection is made`, async () => {
      await atHostileServer(
        async (peer) => {
          await logIn(peer)
          peer.send(bytes)
        },
        (bridge) => failed(bridge, 'nats', code).then(() => undefined),
      )
    })
  }

  it('whose INFO lies about its types is spoken to all the same', async () => {
    await atHostileServer(
      async (peer) => {
        const lies = { max_payload: 'much', connect_urls: 'everywhere', version: 5, headers: true }
        peer.send(natsInfo(lies))
        await peer.expectBytes('PING\r\n')
        peer.reset()
      },
      async (bridge) => {
        await eventually('the end of it', () => bridge.report().links.nats.failures.size > 0)
      },
    )
  })

  it('that never ends a line makes the bridge hold a bounded part of it', async () => {
    const before = process.memoryUsage.rss()
    await atHostileServer(
      async (peer) => {
        await logIn(peer)
        const piece = Buffer.alloc(1024 * 1024, 'x')
        for (let n = 0; n < 256 && !peer.socket.destroyed; n++) {
          if (!peer.socket.write(piece)) {
            await Promise.race([
              new Promise((resolve) => peer.socket.once('drain', resolve)),
              peer.closed,
            ])
          }
        }
      },
      async (bridge) => {
        await failed(bridge, 'nats', 'PROTOCOL_ERROR')
        expect(process.memoryUsage.rss() - before).toBeLessThan(BOUND)
      },
    )
  })

  it('that answers for slots and streams nobody asked for is not left', async () => {
    await atHostileServer(
      async (peer) => {
        await logIn(peer)
        for (const sid of [999_999, 1_000_000, 1_000_001, 1_005_000, 1_010_000, 1_099_999]) {
          peer.send(`MSG nobody.asked ${sid} 2\r\n{}\r\n`)
          peer.send(`MSG nobody.asked ${sid} $JS.ACK.a.b.1.2.3.4.5 2\r\n{}\r\n`)
        }
        peer.send('PING\r\n')
        await peer.expectBytes('PONG\r\n')
        peer.reset()
      },
      async (bridge, peer) => {
        await peer.finished(1)
        await failed(bridge, 'nats', 'LINK_LOST')
      },
    )
  })
})
