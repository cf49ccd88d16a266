import { createHash } from 'node:crypto'
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { createWebSocketStream, WebSocketServer } from 'ws'
import type { Channel } from '../../src/mqtt/channel.ts'
import { parseEndpoint, tlsOptions } from '../../src/mqtt/options.ts'
import { TcpChannel } from '../../src/mqtt/tcp-channel.ts'
import { WsChannel } from '../../src/mqtt/ws-channel.ts'
import { eventually } from '../support/eventually.ts'
import { sharedPki } from '../support/pki.ts'

type Transport = 'mqtt' | 'mqtts' | 'ws' | 'wss'
type Peer = Pick<Socket, 'write' | 'end' | 'on' | 'writableLength'>

/** A server of that kind and a channel to it; `serve` gets each connection. */
async function connected(transport: Transport, serve: (peer: Peer) => void) {
  const pki = await sharedPki()
  const identity = { cert: pki.server.cert, key: pki.server.key }
  const peers = new Set<Socket>()
  const taken = (peer: Socket) => {
    peers.add(peer)
    peer.on('error', () => undefined)
    serve(peer)
  }
  const makers: Record<Transport, () => Server | HttpServer> = {
    mqtt: () => createServer(taken),
    mqtts: () => createTlsServer(identity, taken),
    ws: () => overWebSocket(createHttpServer(), taken),
    wss: () => overWebSocket(createHttpsServer(identity), taken),
  }
  const server = makers[transport]()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const endpoint = parseEndpoint(`${transport}://localhost:${port}`)
  const isSecure = transport === 'mqtts' || transport === 'wss'
  const tls = isSecure ? tlsOptions({ caFile: pki.caFile }, 'localhost') : undefined
  const channel: Channel = transport.startsWith('ws')
    ? new WsChannel(endpoint, 16 * 1024 * 1024, tls)
    : new TcpChannel(endpoint, tls)
  const closes: (Error | undefined)[] = []
  channel.onClose = (error) => void closes.push(error)
  let isOpen = false
  channel.onOpen = () => {
    isOpen = true
  }
  channel.open()
  await eventually('the open channel', () => isOpen && peers.size > 0)
  return {
    channel,
    closes,
    async [Symbol.asyncDispose]() {
      channel.destroy()
      for (const peer of peers) peer.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function overWebSocket(http: HttpServer, taken: (peer: Socket) => void): HttpServer {
  const sockets = new WebSocketServer({ server: http })
  sockets.on('connection', (socket) => taken(createWebSocketStream(socket) as unknown as Socket))
  return http
}

describe.each<Transport>(['mqtt', 'mqtts', 'ws', 'wss'])('a %s channel', (transport) => {
  test('carries bytes both ways, in order and whole', async () => {
    const sent = Buffer.alloc(3_000_000)
    for (let at = 0; at < sent.length; at++) sent[at] = (at * 31) & 0xff
    await using link = await connected(transport, (peer) => peer.on('data', (d) => peer.write(d)))
    const hash = createHash('sha256')
    let length = 0
    link.channel.onChunk = (chunk) => {
      hash.update(chunk)
      length += chunk.length
      return true
    }
    for (let at = 0; at < sent.length; at += 50_000) {
      if (link.channel.write(sent.subarray(at, at + 50_000))) continue
      await new Promise<void>((resolve) => {
        link.channel.onDrain = resolve
      })
    }
    await eventually('the echo', () => length >= sent.length)
    expect(hash.digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'))
  })

  test('says when it is full and when there is room again', async () => {
    let read = () => undefined as unknown
    await using link = await connected(transport, (peer) => {
      read = () => peer.on('data', () => undefined)
    })
    let drains = 0
    link.channel.onDrain = () => {
      drains++
    }
    const piece = Buffer.alloc(1_000_000)
    let pieces = 1
    while (link.channel.write(piece) && pieces < 100) {
      pieces++
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(pieces).toBeLessThan(100)
    expect(link.channel.writableLength).toBeGreaterThan(0)
    expect(drains).toBe(0)
    read()
    await eventually('room', () => drains > 0)
    expect(drains).toBe(1)
  })

  test('reads nothing while held, holds the peer back, and goes on without loss', async () => {
    const total = 40_000_000
    let server: Peer | undefined
    await using link = await connected(transport, (peer) => {
      server = peer
      peer.on('data', () => {
        for (let sent = 0; sent < total; sent += 500_000) peer.write(Buffer.alloc(500_000, 7))
        peer.end()
      })
    })
    let calls = 0
    let length = 0
    let hold = true
    link.channel.onChunk = (chunk) => {
      calls++
      length += chunk.length
      return !hold
    }
    link.channel.write(Buffer.from('go'))
    await eventually('the first chunk', () => calls > 0)
    for (let round = 2; round <= 5; round++) {
      link.channel.resume()
      await eventually(`chunk ${round}`, () => calls >= round)
    }
    expect(calls).toBe(5)
    expect(link.closes).toEqual([])
    expect(server?.writableLength).toBeGreaterThan(0)
    const before = length
    hold = false
    link.channel.resume()
    await eventually('all bytes', () => length >= total)
    expect(before).toBeLessThan(total)
    expect(length).toBe(total)
    await eventually('the end', () => link.closes.length > 0)
    expect(link.closes).toEqual([undefined])
  })

  test('tells once that the peer closed, and that the owner destroyed it', async () => {
    let close = () => undefined as unknown
    await using link = await connected(transport, (peer) => {
      close = () => peer.end()
    })
    close()
    await eventually('the end', () => link.closes.length > 0)
    link.channel.destroy()
    link.channel.end()
    expect(link.closes).toEqual([undefined])
    const failures: unknown[] = []
    expect(link.channel.write(Buffer.from('x'), (error) => failures.push(error))).toBe(false)
    await eventually('the refused write', () => failures.length > 0)
    expect(failures[0]).toMatchObject({ code: 'EPIPE' })

    await using other = await connected(transport, () => undefined)
    other.channel.destroy(new Error('enough'))
    await eventually('the end', () => other.closes.length > 0)
    expect(other.closes[0]?.message).toBe('enough')
  })

  test('ends with the error that its owner threw while reading', async () => {
    await using link = await connected(transport, (peer) => {
      peer.on('data', () => peer.write('x'))
    })
    link.channel.onChunk = () => {
      throw new Error('cannot read this')
    }
    link.channel.write(Buffer.from('go'))
    await eventually('the end', () => link.closes.length > 0)
    expect(link.closes[0]?.message).toBe('cannot read this')
  })

  test('knows its server and what TLS settled on', async () => {
    await using link = await connected(transport, () => undefined)
    const { server, tlsVersion, certNotAfter } = link.channel.facts
    expect(server).toMatch(/^localhost:\d+$/)
    const isSecure = transport === 'mqtts' || transport === 'wss'
    expect(tlsVersion).toBe(isSecure ? 'TLSv1.3' : '')
    expect(certNotAfter > Date.now() / 1000).toBe(isSecure)
  })
})

test('a channel destroyed before it was opened closes all the same', async () => {
  for (const channel of [
    new TcpChannel(parseEndpoint('mqtt://127.0.0.1:1')),
    new WsChannel(parseEndpoint('ws://127.0.0.1:1'), 1000),
  ]) {
    let closes = 0
    channel.onClose = () => {
      closes++
    }
    channel.destroy()
    await eventually('the end', () => closes > 0)
    channel.open()
    channel.end()
    channel.resume()
    expect(channel.writableLength).toBe(0)
    expect(closes).toBe(1)
  }
})

test('a WebSocket channel refuses text and messages above its bound', async () => {
  const http = createHttpServer()
  const sockets = new WebSocketServer({ server: http })
  const messages = ['text', Buffer.alloc(2000)]
  sockets.on('connection', (socket) => socket.send(messages.shift() ?? ''))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const endpoint = parseEndpoint(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`)
  const codes: unknown[] = []
  for (let n = 0; n < 2; n++) {
    const channel = new WsChannel(endpoint, 1000)
    channel.onClose = (error) => codes.push((error as NodeJS.ErrnoException).code)
    channel.open()
    await eventually('the end', () => codes.length > n)
  }
  expect(codes).toEqual(['ERR_WS_TEXT', 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'])
  sockets.close()
  await new Promise((resolve) => http.close(resolve))
})
