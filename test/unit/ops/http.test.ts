import { request as httpRequest } from 'node:http'
import { connect, createServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { BridgeError } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/core/ports.ts'
import type { BridgeReport } from '../../../src/core/status.ts'
import { opsEndpoints } from '../../../src/ops/endpoints.ts'
import { type Handler, HttpServer } from '../../../src/ops/http.ts'
import { Metrics } from '../../../src/ops/metrics.ts'
import { within } from '../../support/eventually.ts'
import { parseExposition } from './exposition-parser.ts'
import { sampleExtras, sampleReport } from './sample-report.ts'

const failures: BridgeError[] = []
const logger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  failure: (error) => failures.push(error),
}

const running: HttpServer[] = []

afterEach(async () => {
  failures.length = 0
  for (const server of running.splice(0)) await server.stop()
})

async function serve(handlers: Readonly<Record<string, Handler>>): Promise<HttpServer> {
  const server = new HttpServer({ host: '127.0.0.1', port: 0 }, handlers, logger)
  running.push(server)
  await server.start()
  return server
}

function serveReport(report: BridgeReport): Promise<HttpServer> {
  return serve(opsEndpoints(() => report, new Metrics(() => report, sampleExtras())))
}

function get(server: HttpServer, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${server.port}${path}`, init)
}

/** Sends bytes as they are, and resolves to everything that comes back until the server closes. */
function raw(server: HttpServer, bytes: string): Promise<string> {
  const answer = new Promise<string>((resolve, reject) => {
    let text = ''
    const socket = connect(server.port, '127.0.0.1', () => socket.write(bytes))
    socket.setEncoding('utf8')
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
  })
  return within('the server to close', 5_000, answer)
}

describe('the endpoints', () => {
  it('/livez answers 200 until the bridge has stopped, also when it is not ready', async () => {
    const report = sampleReport()
    report.ready = false
    const server = await serveReport(report)
    const live = await get(server, '/livez')
    expect([live.status, await live.text()]).toEqual([200, 'ok\n'])
    report.state = 'stopped'
    expect((await get(server, '/livez')).status).toBe(503)
  })

  it('/readyz answers 200, or 503 with one reason per line', async () => {
    const report = sampleReport()
    const server = await serveReport(report)
    const ready = await get(server, '/readyz?verbose=1')
    expect([ready.status, await ready.text()]).toEqual([200, 'ready\n'])
    report.ready = false
    report.reasons = ['mqtt: connecting', 'nats: the user JWT has expired']
    const unready = await get(server, '/readyz')
    expect(unready.status).toBe(503)
    expect(unready.headers.get('cache-control')).toBe('no-store')
    expect(await unready.text()).toBe('mqtt: connecting\nnats: the user JWT has expired\n')
  })

  it('/readyz answers in JSON when that is asked for', async () => {
    const report = sampleReport()
    report.ready = false
    report.reasons = ['mqtt: connecting']
    const server = await serveReport(report)
    const answer = await get(server, '/readyz', { headers: { accept: 'application/json' } })
    expect(answer.status).toBe(503)
    expect(await answer.json()).toEqual({ ready: false, reasons: ['mqtt: connecting'] })
  })

  it('/status shows the books as they change', async () => {
    const report = sampleReport()
    const server = await serveReport(report)
    report.routes[0]!.books.received[1] = 7
    const answer = await get(server, '/status')
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
    const status = (await answer.json()) as { routes: { received: number }[] }
    expect(status.routes[0]?.received).toBe(7)
  })

  it('/metrics shows a scrape in the format asked for', async () => {
    const server = await serveReport(sampleReport())
    const text = await get(server, '/metrics')
    expect(text.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(parseExposition(await text.text(), 'prometheus').size).toBeGreaterThan(30)
    const headers = { accept: 'application/openmetrics-text; version=1.0.0' }
    const open = await get(server, '/metrics', { headers })
    expect(parseExposition(await open.text(), 'openmetrics').size).toBeGreaterThan(30)
  })
})

describe('the server', () => {
  it('lists its pages at / and where a page is unknown', async () => {
    const server = await serveReport(sampleReport())
    const index = await get(server, '/')
    expect(index.status).toBe(200)
    expect(await index.text()).toContain('<a href="/metrics">/metrics</a>')
    const unknown = await get(server, '/constructor')
    expect(unknown.status).toBe(404)
    expect(await unknown.text()).toBe(
      'no such page; there are:\n/livez\n/metrics\n/readyz\n/status\n',
    )
  })

  it('answers HEAD like GET without the body', async () => {
    const server = await serveReport(sampleReport())
    const head = await get(server, '/livez', { method: 'HEAD' })
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([
      200,
      '3',
      '',
    ])
  })

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('refuses %s', async (method) => {
    const server = await serveReport(sampleReport())
    const answer = await get(server, '/livez', { method })
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })

  it('refuses a body, headers without end and bytes that are not HTTP, and goes on', async () => {
    const server = await serveReport(sampleReport())
    const body = 'GET /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\nxxxx'
    expect(await raw(server, body)).toMatch(/^HTTP\/1\.1 413 /)
    const long = `GET /livez HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(20_000)}`
    expect(await raw(server, long)).toMatch(/^HTTP\/1\.1 431 /)
    expect(await raw(server, '\u0016\u0003\u0001\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
    expect((await get(server, '/livez')).status).toBe(200)
  })

  it.each([
    ['throws', () => JSON.parse('{')],
    ['rejects', () => Promise.reject(new Error('later'))],
  ] as [string, Handler][])(
    'answers 500 when a handler %s, logs it, and goes on',
    async (_, broken) => {
      const server = await serve({
        '/broken': broken,
        '/fine': (_request, to) => void to.end('fine'),
      })
      const answer = await get(server, '/broken')
      expect([answer.status, await answer.text()]).toEqual([
        500,
        'INTERNAL: answering failed; the log says why\n',
      ])
      expect(failures).toHaveLength(1)
      expect(failures[0]?.message).toMatch(/^answering '\/broken': /)
      expect(await (await get(server, '/fine')).text()).toBe('fine')
    },
  )

  it('cuts the connection when a handler fails in the middle of its answer', async () => {
    const server = await serve({
      '/broken': (_, response) => {
        response.write('half')
        throw new BridgeError('reading', { code: 'LINK_LOST' })
      },
    })
    await expect(get(server, '/broken').then((answer) => answer.text())).rejects.toThrow()
    expect(failures.map(({ code }) => code)).toEqual(['LINK_LOST'])
  })

  it('lets a handler stream, and stops in spite of an open stream', async () => {
    const server = await serve({ '/tap': (_, response) => void response.write('{"n":1}\n') })
    const ended = new Promise<string>((resolve, reject) => {
      const request = httpRequest({ port: server.port, host: '127.0.0.1', path: '/tap' })
      request.on('error', reject)
      request.on('response', (response) => {
        response.once('data', (chunk: Buffer) => {
          response.on('error', () => resolve(chunk.toString()))
          void server.stop()
        })
      })
      request.end()
    })
    expect(await within('the stream to be cut', 5_000, ended)).toBe('{"n":1}\n')
    await within('the server to stop', 5_000, server.stop())
    expect(server.port).toBe(0)
  })

  it('reports an address that is taken as LISTEN_FAILED', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const { port } = other.address() as { port: number }
    const server = new HttpServer({ host: '127.0.0.1', port }, {}, logger)
    await expect(server.start()).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining(`listening on '127.0.0.1:${port}'`),
    })
    await server.stop()
    other.close()
  })

  it('may be started and stopped twice, and stopped without a start', async () => {
    const server = await serve({})
    await server.start()
    await Promise.all([server.stop(), server.stop()])
    await expect(get(server, '/')).rejects.toThrow()
    await new HttpServer({ host: '::1', port: 0 }, {}, logger).stop()
  })
})
