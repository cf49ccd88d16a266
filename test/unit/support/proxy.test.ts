import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { type FaultProxy, startProxy } from '../../support/proxy.ts'

/** An echo server behind a proxy. */
async function startEcho() {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    socket.pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await startProxy((server.address() as { port: number }).port)
  return {
    proxy,
    sockets,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** A client that keeps what it hears. */
async function dial(proxy: FaultProxy) {
  const socket = connect(proxy.port, '127.0.0.1')
  const heard: Buffer[] = []
  const errors: string[] = []
  let closed = false
  socket.on('data', (chunk) => heard.push(chunk))
  socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? ''))
  socket.on('close', () => {
    closed = true
  })
  await once(socket, 'connect')
  return {
    socket,
    errors,
    heard: () => Buffer.concat(heard),
    text: () => Buffer.concat(heard).toString(),
    closed: () => closed,
    [Symbol.dispose]: () => void socket.destroy(),
  }
}

describe('the fault proxy', () => {
  it('forwards both ways, byte for byte, and counts', async () => {
    await using echo = await startEcho()
    using client = await dial(echo.proxy)
    const bytes = Buffer.alloc(1_000_000, 'some bytes that repeat')
    client.socket.end(bytes)
    await eventually('the echo to end', () => client.closed())
    expect(client.heard().equals(bytes)).toBe(true)
    expect(echo.proxy.bytes('up')).toBe(bytes.length)
    expect(echo.proxy.bytes('down')).toBe(bytes.length)
    expect(echo.proxy.accepted()).toBe(1)
    await eventually('no connection', () => echo.proxy.connections() === 0)
  })

  it('cuts with a reset on both sides and takes new connections', async () => {
    await using echo = await startEcho()
    using client = await dial(echo.proxy)
    client.socket.write('one')
    await eventually('echo', () => client.text() === 'one')
    echo.proxy.cut()
    await eventually('both sides to break', () => client.closed() && echo.sockets.size === 0)
    expect(client.errors).toEqual(['ECONNRESET'])
    using again = await dial(echo.proxy)
    again.socket.write('two')
    await eventually('echo', () => again.text() === 'two')
  })

  it('holds everything back while half open, and lets it go when healed', async () => {
    await using echo = await startEcho()
    using client = await dial(echo.proxy)
    client.socket.write('a')
    await eventually('echo', () => client.text() === 'a')
    echo.proxy.halfOpen()
    const before = echo.proxy.bytes('up')
    client.socket.write('b')
    using marker = await dial(echo.proxy)
    marker.socket.write('m')
    await eventually('both taken', () => echo.proxy.connections() === 2)
    expect(echo.proxy.bytes('up')).toBe(before)
    expect(client.closed()).toBe(false)
    await echo.proxy.heal()
    await eventually('echo', () => client.text() === 'ab' && marker.text() === 'm')
  })

  it('can be half open one way only', async () => {
    await using echo = await startEcho()
    using client = await dial(echo.proxy)
    echo.proxy.halfOpen('down')
    client.socket.write('abc')
    await eventually('the way up to move', () => echo.proxy.bytes('up') === 3)
    expect(client.text()).toBe('')
    await echo.proxy.heal()
    await eventually('echo', () => client.text() === 'abc')
  })

  it('pushes back when it is half open instead of swallowing bytes', async () => {
    await using echo = await startEcho()
    using client = await dial(echo.proxy)
    echo.proxy.halfOpen('up')
    const chunk = Buffer.alloc(1 << 20)
    await eventually('the socket to be full', () => {
      for (let i = 0; i < 8; i++) client.socket.write(chunk)
      return client.socket.writableNeedDrain && client.socket.bytesWritten > 0
    })
    expect(echo.proxy.bytes('up')).toBe(0)
  })

  it('delays each way by the time asked for', async () => {
    await using echo = await startEcho()
    using client = await dial(echo.proxy)
    echo.proxy.delay(60)
    const start = performance.now()
    client.socket.write('late')
    await eventually('echo', () => client.text() === 'late')
    expect(performance.now() - start).toBeGreaterThanOrEqual(115)
  })

  it('throttles to the rate asked for', async () => {
    await using echo = await startEcho()
    using client = await dial(echo.proxy)
    echo.proxy.throttle(100_000, 'up')
    const start = performance.now()
    client.socket.write(Buffer.alloc(40_000))
    await eventually('all back', () => client.heard().length === 40_000)
    // A tenth of a second's worth goes at once.
    expect(performance.now() - start).toBeGreaterThanOrEqual(290)
  })

  it('refuses connections while told so, keeps the open ones, and listens again', async () => {
    await using echo = await startEcho()
    using client = await dial(echo.proxy)
    await echo.proxy.refuse(true)
    await expect(dial(echo.proxy)).rejects.toThrow('ECONNREFUSED')
    client.socket.write('still')
    await eventually('echo', () => client.text() === 'still')
    await echo.proxy.heal()
    using again = await dial(echo.proxy)
    again.socket.write('back')
    await eventually('echo', () => again.text() === 'back')
  })

  it('resets new connections while told to reject', async () => {
    await using echo = await startEcho()
    echo.proxy.reject(true)
    // The reset may come before or after the client has seen its connection.
    const socket = connect(echo.proxy.port, '127.0.0.1')
    const [error] = await once(socket, 'error')
    expect(error).toMatchObject({ code: 'ECONNRESET' })
    expect(echo.sockets.size).toBe(0)
  })

  it('resets the client when the server behind it is gone', async () => {
    const echo = await startEcho()
    using client = await dial(echo.proxy)
    client.socket.write('x')
    await eventually('echo', () => client.text() === 'x')
    for (const socket of echo.sockets) socket.resetAndDestroy()
    await eventually('reset', () => client.closed())
    await echo[Symbol.asyncDispose]()
  })
})
