import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseServer, ServerPool } from '../../../src/nats/servers.ts'

const labels = (pool: ServerPool) => pool.round().map(({ label }) => label)

describe('a server address', () => {
  it.each([
    ['nats://a', 'a', 4222, 'a:4222', 'a'],
    ['tls://a:1/', 'a', 1, 'a:1', 'a'],
    ['a.b:80', 'a.b', 80, 'a.b:80', 'a.b'],
    ['nats://nats.example.:4222', 'nats.example.', 4222, 'nats.example:4222', 'nats.example'],
    ['nats://[::1]:4222', '::1', 4222, '[::1]:4222', '::1'],
    ['10.0.0.1:4223', '10.0.0.1', 4223, '10.0.0.1:4223', '10.0.0.1'],
  ])('%s is read', (text, host, port, label, tlsName) => {
    expect(parseServer(text)).toEqual({ host, port, label, tlsName })
  })

  it.each(['', 'nats://', 'a b', 'a:99999', 'http://['])("'%s' is refused", (text) => {
    expect(() => parseServer(text)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })

  it('is read back from its label', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.domain(),
          fc.ipV4(),
          fc.ipV6().map((ip) => `[${ip}]`),
        ),
        fc.integer({ min: 1, max: 65_535 }),
        (host, port) => {
          const once = parseServer(`nats://${host}:${port}`)
          expect(parseServer(once.label)).toEqual(once)
          expect(once.port).toBe(port)
        },
      ),
    )
  })
})

describe('the server pool', () => {
  it('gives every server once per round, beginning after the one used last', () => {
    const pool = new ServerPool(['a', 'b', 'c'])
    expect(labels(pool)).toEqual(['a:4222', 'b:4222', 'c:4222'])
    const [, b] = pool.round()
    if (b) pool.use(b)
    expect(labels(pool)).toEqual(['c:4222', 'a:4222', 'b:4222'])
  })

  it('takes over what a server announces, without doubles, as long as it does', () => {
    const pool = new ServerPool(['a', 'b'])
    const [a] = pool.round()
    if (!a) throw new Error('no server')
    pool.learn(['c:1', 'a:4222', 'c:1', 'no good:', '10.0.0.1:1'], a)
    expect(labels(pool)).toEqual(['a:4222', 'b:4222', 'c:1', '10.0.0.1:1'])
    expect(pool.size).toBe(4)
    pool.learn(['d:1'], a)
    expect(labels(pool)).toEqual(['a:4222', 'b:4222', 'd:1'])
  })

  it('checks an announced IP address by the name of who announced it', () => {
    const named = new ServerPool(['nats.example.'])
    const [from] = named.round()
    if (!from) throw new Error('no server')
    named.learn(['10.0.0.1:1', 'other:1'], from)
    expect(named.round().map(({ tlsName }) => tlsName)).toEqual([
      'nats.example',
      'nats.example',
      'other',
    ])
    const numbered = new ServerPool(['10.0.0.9'])
    const [ip] = numbered.round()
    if (!ip) throw new Error('no server')
    numbered.learn(['10.0.0.1:1'], ip)
    expect(numbered.round()[1]?.tlsName).toBe('10.0.0.1')
  })

  it('forgets an announced server that failed twice in a row, never a configured one', () => {
    const pool = new ServerPool(['a'])
    const [a] = pool.round()
    if (!a) throw new Error('no server')
    pool.learn(['b:1'], a)
    const b = pool.round()[1]
    if (!b) throw new Error('not learned')
    pool.failed(b)
    pool.worked(b)
    pool.failed(b)
    for (let i = 0; i < 3; i++) pool.failed(a)
    expect(pool.size).toBe(2)
    pool.failed(b)
    expect(labels(pool)).toEqual(['a:4222'])
  })

  it('bounds what it learns', () => {
    const pool = new ServerPool(['a'])
    const [a] = pool.round()
    if (!a) throw new Error('no server')
    pool.learn(
      Array.from({ length: 10_000 }, (_, i) => `s${i}:1`),
      a,
    )
    expect(pool.size).toBe(257)
  })
})
