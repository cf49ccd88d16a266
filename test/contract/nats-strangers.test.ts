import { createServer, type Socket } from 'node:net'
import { createSecureContext, createServer as createTlsServer, TLSSocket } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { NatsConfig } from '../../src/core/config.ts'
import type { ErrorCode } from '../../src/core/errors.ts'
import { eventually } from '../support/eventually.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { natsConfig, startNatsSession } from '../support/nats-session-stage.ts'
import { sharedPki } from '../support/pki.ts'

const INFO =
  'INFO {"server_id":"S","server_name":"s","version":"2.12.3","go":"go1","host":"h","port":1,"headers":true,"max_payload":1048576,"proto":1,"client_id":1}\r\n'

const INSISTS = INFO.replace('{', '{"tls_required":true,')

/** A listener that does with each connection what it is told, and never reads more than it is told to. */
async function scripted(script: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  let accepted = 0
  const server = createServer((socket) => {
    accepted++
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    script(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `nats://127.0.0.1:${port}`,
    accepted: () => accepted,
    open: () => sockets.size,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Greets, takes the login, and then goes on with `then`. */
function welcome(socket: Socket, then: () => void, info = INFO): void {
  let seen = ''
  const read = (chunk: Buffer): void => {
    seen += chunk.toString('latin1')
    if (!seen.includes('PING\r\n')) return
    socket.off('data', read)
    socket.write('PONG\r\n')
    then()
  }
  socket.on('data', read)
  socket.write(info)
}

const quick = (url: string, more: Partial<NatsConfig> = {}) =>
  natsConfig([url], { connectTimeout: 700, ...more })

describe('the NATS session against what is not NATS', () => {
  beforeEach(() => {
    for (const way of ['log', 'info', 'error', 'warn'] as const) vi.spyOn(console, way)
  })
  afterEach(() => {
    // the library prints what its reader stumbles over; stdout belongs to the log
    for (const way of ['log', 'info', 'error', 'warn'] as const) {
      expect(console[way]).not.toHaveBeenCalled()
    }
  })

  const greetings: readonly [string, string | Buffer, ErrorCode][] = [
    ['another protocol', 'SSH-2.0-OpenSSH_9.2p1\r\n', 'PROTOCOL_ERROR'],
    ['JSON that does not parse', 'INFO {"server_id": }\r\n', 'PROTOCOL_ERROR'],
    ['INFO with nothing', 'INFO \r\n', 'PROTOCOL_ERROR'],
    ['INFO with null', 'INFO null\r\n', 'PROTOCOL_ERROR'],
    ['INFO with a number', 'INFO 5\r\n', 'PROTOCOL_ERROR'],
    ['INFO with a list', 'INFO []\r\n', 'PROTOCOL_ERROR'],
    ['INFO of an old protocol', 'INFO {}\r\n', 'PROTOCOL_ERROR'],
    ['INFO with a strange version', INFO.replace('2.12.3', '…'), 'PROTOCOL_ERROR'],
    ['bytes', Buffer.from([0, 1, 2, 3, 0xff, 0xfe, 10]), 'PROTOCOL_ERROR'],
    ['bytes without a line', Buffer.alloc(64, 0xff), 'PROTOCOL_ERROR'],
    ['an empty line', '\r\n', 'PROTOCOL_ERROR'],
    ['half a greeting', 'INFO {"server_id":"', 'CONNECT_TIMEOUT'],
    ['a letter', 'I', 'CONNECT_TIMEOUT'],
    ['nothing', '', 'CONNECT_TIMEOUT'],
    ['a complaint', "-ERR 'maximum connections exceeded'\r\n", 'CONNECT_FAILED'],
    ['a complaint after INFO', `${INFO}-ERR 'Authorization Violation'\r\n`, 'NATS_AUTH'],
    ['garbage after INFO', `${INFO}hello\r\n`, 'PROTOCOL_ERROR'],
  ]

  it.each(greetings)('survives %s', async (_name, bytes, code) => {
    await using server = await scripted((socket) => {
      socket.resume()
      socket.write(bytes)
    })
    await using stage = await startNatsSession(quick(server.url))
    await stage.failed(code)
    // it goes on, and leaves no socket of a failed attempt behind
    await eventually('another attempt', () => server.accepted() >= 2)
    await stage.session.stop()
    await eventually('no socket', () => server.open() === 0)
    expect(stage.ups).toEqual([])
  })

  it('survives a server that hangs up at once, and one that resets', async () => {
    await using ending = await scripted((socket) => socket.end())
    await using first = await startNatsSession(quick(ending.url))
    await first.failed('LINK_LOST')
    await using resetting = await scripted((socket) => socket.resetAndDestroy())
    await using second = await startNatsSession(quick(resetting.url))
    await second.failed('LINK_LOST')
  })

  it('gives up on a greeting without an end before it fills the memory', async () => {
    let sent = 0
    await using server = await scripted((socket) => {
      socket.resume()
      const more = Buffer.alloc(64 * 1024, 0x20)
      socket.write('INFO ')
      const pump = (): void => {
        while (!socket.destroyed && socket.write(more)) sent += more.length
      }
      socket.on('drain', pump)
      pump()
    })
    await using stage = await startNatsSession(quick(server.url, { connectTimeout: 20_000 }))
    await stage.failed('PROTOCOL_ERROR')
    await stage.session.stop()
    expect(sent / server.accepted()).toBeLessThan(16 * 1024 * 1024)
  })

  const surprises: readonly [string, string][] = [
    ['garbage', 'hello world\r\n'],
    ['a verb cut short by another', 'MSPING\r\n'],
    ['INFO that does not parse', 'INFO {"a":\r\n'],
    ['a message with a strange size', 'MSG a 1 x\r\n'],
    ['a message of a size nobody sends', 'MSG a 1 99999999999\r\n'],
    ['a line without an end', `-ERR '${'x'.repeat(1_500_000)}`],
  ]

  it.each(surprises)(
    'ends a connection on which comes %s, and makes another',
    async (_name, bytes) => {
      await using server = await scripted((socket) => {
        welcome(socket, () => {
          socket.resume()
          socket.write(bytes)
        })
      })
      await using stage = await startNatsSession(quick(server.url))
      await eventually('two connections', () => stage.ups.length === 2)
      expect(stage.downs[0]?.code).toBe('PROTOCOL_ERROR')
    },
  )

  it('reads addresses announced by a cluster with suspicion', async () => {
    const urls = ['127.0.0.1:1', '::::', 'http://[', '', 'a b', 5, null, { a: 1 }]
    const info = INFO.replace('{', `{"connect_urls":${JSON.stringify(urls)},`)
    await using server = await scripted((socket) => {
      welcome(socket, () => socket.end(info))
    })
    await using stage = await startNatsSession(quick(server.url))
    await eventually('two connections', () => stage.ups.length === 2)
    expect(stage.downs[0]?.code).toBe('LINK_LOST')
    expect(stage.report.failures.get('CONNECT_REFUSED')).toBeGreaterThanOrEqual(1)
  })

  it('notices a silent server behind a long queue, where the library hangs', async () => {
    await using server = await scripted((socket) => welcome(socket, () => socket.pause()))
    await using stage = await startNatsSession(quick(server.url, { pingInterval: 400 }))
    await stage.connected()
    const from = performance.now()
    stage.transports[0]?.send(Buffer.alloc(30 * 1024 * 1024))
    await eventually('the loss', () => stage.downs.length === 1)
    expect(stage.downs[0]?.code).toBe('NATS_STALE')
    expect(performance.now() - from).toBeLessThan(2_000)
    await stage.connected(2)
    // closing does not wait for the server either
    const leaving = performance.now()
    await stage.session.stop()
    expect(performance.now() - leaving).toBeLessThan(2_500)
  })

  it('takes nothing that came in clear for something that came over TLS', async () => {
    const { caFile } = await sharedPki()
    await using server = await scripted((socket) => {
      socket.resume()
      socket.write(`${INSISTS}PONG\r\n-ERR 'User Authentication Revoked'\r\n`)
    })
    const tls = { caFile, handshakeFirst: false }
    await using stage = await startNatsSession(quick(server.url, { tls }))
    await eventually('three attempts', () => server.accepted() >= 3)
    expect(stage.ups).toEqual([])
    expect([...stage.report.failures.keys()]).not.toContain('NATS_REVOKED')
  })

  it('survives garbage that comes over TLS, and a stop while TLS is being agreed', async () => {
    const { caFile, server: own } = await sharedPki()
    const handshakeFirst = true
    const sockets: Socket[] = []
    const server = createTlsServer({ cert: own.cert, key: own.key }, (socket) => {
      sockets.push(socket)
      socket.on('error', () => undefined)
      const go = (): void => {
        socket.resume()
        socket.write('hello world\r\n')
      }
      welcome(socket, go, INSISTS)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const url = `tls://127.0.0.1:${port}`
    await using stage = await startNatsSession(quick(url, { tls: { caFile, handshakeFirst } }))
    await eventually('three connections', () => stage.ups.length === 3)
    expect(stage.downs[0]?.code).toBe('PROTOCOL_ERROR')
    await stage.session.stop()
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))

    await using mute = await scripted((socket) => socket.resume())
    const tls = { caFile, handshakeFirst }
    await using other = await startNatsSession(quick(mute.url, { tls, connectTimeout: 20_000 }))
    await eventually('the connection', () => mute.accepted() === 1)
    await other.session.stop()
    await eventually('no socket', () => mute.open() === 0)
    expect(other.report.state).toBe('stopped')
  })

  it('survives a greeting that makes no sense when TLS is up already', async () => {
    const { caFile, server: own } = await sharedPki()
    await using server = await scripted((socket) => {
      const secureContext = createSecureContext({ cert: own.cert, key: own.key })
      socket.write(INSISTS.replace('2.12.3', 'x'), () => {
        const secure = new TLSSocket(socket, { isServer: true, secureContext })
        secure.on('error', () => undefined)
        secure.resume()
      })
    })
    const tls = { caFile, handshakeFirst: false }
    await using stage = await startNatsSession(quick(server.url, { tls }))
    await stage.failed('PROTOCOL_ERROR')
    await eventually('three attempts', () => server.accepted() >= 3)
    await stage.session.stop()
    await eventually('no socket', () => server.open() === 0)
  })

  it('survives a reset between the greeting and TLS', async () => {
    const { caFile } = await sharedPki()
    await using server = await scripted((socket) => {
      socket.write(INSISTS, () => setImmediate(() => socket.resetAndDestroy()))
    })
    const tls = { caFile, handshakeFirst: false }
    await using stage = await startNatsSession(quick(server.url, { tls }))
    await eventually('three attempts', () => server.accepted() >= 3)
    expect(stage.ups).toEqual([])
  })

  it('shares a process with other connections of the library', async () => {
    const { connect } = await import('nats')
    await using server = await startNatsServer()
    await using other = await scripted((socket) => socket.resume())
    await using first = await startNatsSession(quick(other.url))
    await using second = await startNatsSession(natsConfig([server.url]))
    const plain = await connect({ servers: server.url.replace('nats://', '') })
    await second.connected()
    expect(await plain.rtt()).toBeGreaterThanOrEqual(0)
    expect(first.ups).toEqual([])
    await plain.close()
  })
})
