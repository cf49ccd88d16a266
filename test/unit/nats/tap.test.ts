import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import fc from 'fast-check'
import { Parser } from 'nats/lib/nats-base-client/parser.js'
import { describe, expect, test } from 'vitest'
import { BridgeError } from '../../../src/core/errors.ts'
import type { MessageView } from '../../../src/core/message-view.ts'
import { countPings, digits, writeNumber } from '../../../src/nats/frames.ts'
import { FIRST_SID, NatsTap, type NatsTapHost } from '../../../src/nats/tap.ts'
import { chunkSizes, cut } from '../../support/chunks.ts'
import { payloadOf } from '../../support/views.ts'

const MAX_MESSAGE = 300_000

/** As much of a socket as a transport uses. */
class FakeSocket extends EventEmitter {
  readonly written: Buffer[] = []
  writableLength = 0
  destroyed = false
  failure: unknown
  paused = false

  write(bytes: Buffer): boolean {
    this.written.push(Buffer.from(bytes))
    return true
  }

  destroy(error?: Error): void {
    this.destroyed = true
    this.failure = error
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }
}

interface Seen {
  readonly subject: string
  readonly sid: number
  readonly reply: string
  readonly headers: string
  readonly payload: string
}

class Host implements NatsTapHost {
  readonly seen: (Seen | string)[] = []
  batches = 0
  drains = 0

  onMessage(subscription: number, view: MessageView): void {
    const slice = (from: number, to: number) => view.buffer.toString('latin1', from, to)
    this.seen.push({
      subject: slice(view.nameStart, view.nameEnd),
      sid: FIRST_SID + subscription,
      reply: slice(view.replyStart, view.replyEnd),
      headers: slice(view.headStart, view.headEnd),
      payload: payloadOf(view).toString('latin1'),
    })
  }

  onBatchEnd(): void {
    this.batches++
  }

  onPong(position: number): void {
    this.seen.push(`pong ${position}`)
  }

  onServerError(text: string): void {
    this.seen.push(text)
  }

  onDrain(): void {
    this.drains++
  }

  maxMessage(): number {
    return MAX_MESSAGE
  }
}

function connected(host: NatsTapHost) {
  const tap = new NatsTap(host)
  const socket = new FakeSocket()
  Object.assign(tap, { socket: socket as unknown as Socket, connected: true, options: {} })
  tap.setupHandlers()
  const reused = Buffer.alloc(1_500_000)
  /** Hands chunks over as a socket does that reads into one buffer. */
  const feed = (pieces: readonly Buffer[]): void => {
    for (const piece of pieces) {
      if (socket.destroyed) return
      socket.emit('data', reused.subarray(0, piece.copy(reused)))
      reused.fill(0, 0, piece.length)
    }
  }
  const passed = (): Buffer => Buffer.concat(tap.yields)
  return { tap, socket, feed, passed }
}

const sid = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 99 }).map(ours))
function ours(one: number): number {
  return FIRST_SID + one
}

const token = fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' })
const subject = fc
  .oneof(
    token.filter((one) => !/[\s\p{C}\p{Z}]/u.test(one)),
    fc.constantFrom('a', 'a.b', 'x'.repeat(5_000)),
  )
  .map((text) => Buffer.from(text))
const reply = fc.option(fc.constantFrom('_INBOX.a', 'r', '$JS.ACK.S.C.1.2.3.4.5'), { nil: '' })
const body = fc
  .oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 50 }) },
    { weight: 2, arbitrary: fc.integer({ min: 500, max: 9_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 60_000, max: 200_000 }) },
  )
  .chain((size) => fc.nat(255).map((fill) => Buffer.alloc(size, fill)))

const message = fc
  .record({ subject, sid, reply, body, headers: fc.nat(60), withHeaders: fc.boolean() })
  .map((one): Buffer => {
    const block = one.withHeaders
      ? Buffer.from(`NATS/1.0\r\nA: ${'v'.repeat(one.headers)}\r\n\r\n`)
      : Buffer.alloc(0)
    const size = block.length + one.body.length
    const line = [one.sid, one.reply, ...(one.withHeaders ? [block.length] : []), size]
    return Buffer.concat([
      Buffer.from(one.withHeaders ? 'HMSG ' : 'MSG '),
      one.subject,
      Buffer.from(` ${line.filter((part) => part !== '').join(' ')}\r\n`),
      block,
      one.body,
      Buffer.from('\r\n'),
    ])
  })
const line = fc
  .oneof(
    fc.constantFrom('PING', '+OK', "-ERR 'Stale Connection'", 'INFO {"max_payload":1048576}'),
    fc.nat(5_000).map((size) => `INFO {"connect_urls":["${'u'.repeat(size)}"]}`),
  )
  .map((text) => Buffer.from(`${text}\r\n`))
const stream = fc.array(
  fc.oneof({ weight: 3, arbitrary: message }, { weight: 2, arbitrary: line }),
  { maxLength: 25 },
)

type Event = Parameters<ConstructorParameters<typeof Parser>[0]['push']>[0]

/** What the library's own parser makes of bytes. */
function parse(bytes: Buffer): Event[] {
  const events: Event[] = []
  new Parser({
    // its buffers are used again
    push: (event) => events.push({ ...event, ...(event.data && { data: event.data.slice() }) }),
  }).parse(bytes)
  return events
}

function reference(frames: readonly Buffer[]) {
  const taken: (Seen | string)[] = []
  const passed: Buffer[] = []
  const events = parse(Buffer.concat(frames))
  expect(events).toHaveLength(frames.length)
  events.forEach(({ msg, data }, index) => {
    const frame = frames[index] as Buffer
    if (msg === undefined || msg.sid < FIRST_SID) {
      passed.push(frame)
      if (frame[0] === 45) taken.push(frame.toString())
      return
    }
    const headers = Math.max(0, msg.hdr)
    const bytes = Buffer.from(data ?? [])
    taken.push({
      subject: Buffer.from(msg.subject).toString('latin1'),
      sid: msg.sid,
      reply: Buffer.from(msg.reply ?? []).toString('latin1'),
      headers: bytes.toString('latin1', 0, headers),
      payload: bytes.toString('latin1', headers),
    })
  })
  return { taken, passed: Buffer.concat(passed) }
}

describe('the tap on a NATS connection', () => {
  test("takes the same messages as the library's parser, and passes everything else on byte by byte", () => {
    fc.assert(
      fc.property(stream, chunkSizes, (frames, cuts) => {
        const expected = reference(frames)
        const host = new Host()
        const { socket, feed, passed } = connected(host)
        const pieces = cut(Buffer.concat(frames), cuts)
        feed(pieces)
        expect(socket.failure).toBeUndefined()
        expect(host.seen).toEqual(expected.taken)
        expect(passed().equals(expected.passed)).toBe(true)
        expect(host.batches).toBe(pieces.length)
      }),
      { numRuns: 400 },
    )
  })

  test('keeps what goes on to the library whole when a chunk ends one frame and begins another', () => {
    const host = new Host()
    const { feed, passed } = connected(host)
    feed([Buffer.from('PI'), Buffer.from('NG\r\nMS'), Buffer.from('G a 1000000 1\r\nx\r\n+OK\r\n')])
    expect(passed().toString()).toBe('PING\r\n+OK\r\n')
    expect(host.seen).toMatchObject([{ subject: 'a', payload: 'x' }])
  })

  test('gives each PONG to the lane its PING came from', () => {
    const command = fc.constantFrom('ours', 'library', 'both')
    fc.assert(
      fc.property(fc.array(command, { maxLength: 20 }), (commands) => {
        const host = new Host()
        const { tap, socket, feed, passed } = connected(host)
        let library = 0
        const expected: string[] = []
        commands.forEach((one, position) => {
          if (one !== 'ours') {
            library++
            tap.send(Buffer.from('PUB a 6\r\nPING\r\n\r\nPING\r\nHPUB b 0 4\r\nPONG\r\n'))
          }
          if (one !== 'library') {
            tap.ping(position)
            expected.push(`pong ${position}`)
          }
        })
        const pings = Buffer.concat(socket.written).toString().split('PING\r\n').length - 1
        expect(pings - library).toBe(library + expected.length)
        feed([Buffer.from('PONG\r\n'.repeat(library + expected.length))])
        expect(host.seen).toEqual(expected)
        expect(passed().toString()).toBe('PONG\r\n'.repeat(library))
        // one nobody asked for is the library's to judge
        feed([Buffer.from('PONG\r\n')])
        expect(passed().toString()).toBe('PONG\r\n'.repeat(library + 1))
      }),
    )
  })

  test('meets garbage and mutated streams with nothing but a protocol error, and ranges stay in bounds', () => {
    const edit = fc.record({ at: fc.nat(), byte: fc.nat(255) })
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc
        .constantFrom(
          'MSG a 1000000\r\n',
          'MSG a b 5\r\n',
          'MSG a 1000000 r x 5\r\n',
          'MSG a 1000000 -1\r\n',
          'MSG a 1000000 9999999999999999999\r\n',
          'MSG a 1000000 300001\r\n',
          'HMSG a 1000000 9 5\r\n',
          'HMSG a 1000000 5\r\n',
          'HMSG a 1000000 1 2 3 4\r\n',
          'MSGa 1000000 1\r\n',
          'M\nMSG a 1000000 1\r\n',
        )
        .map((text) => Buffer.from(text)),
    )
    fc.assert(
      fc.property(
        stream,
        noise,
        fc.array(edit, { maxLength: 4 }),
        chunkSizes,
        (frames, end, edits, cuts) => {
          const bytes = Buffer.concat([...frames, end])
          for (const { at, byte } of edits) if (bytes.length > 0) bytes[at % bytes.length] = byte
          let taken = 0
          const host = new (class extends Host {
            override onMessage(_subscription: number, view: MessageView): void {
              expect(view.nameEnd).toBeGreaterThanOrEqual(view.nameStart)
              expect(view.replyEnd).toBeGreaterThanOrEqual(view.replyStart)
              expect(view.headEnd).toBeGreaterThanOrEqual(view.headStart)
              expect(view.payloadStart).toBe(view.headEnd)
              expect(view.payloadEnd).toBeGreaterThanOrEqual(view.payloadStart)
              expect(view.payloadEnd).toBeLessThanOrEqual(view.buffer.length)
              taken += view.payloadEnd - view.headStart
            }
          })()
          const { socket, feed, passed } = connected(host)
          feed(cut(bytes, cuts))
          expect(taken + passed().length).toBeLessThanOrEqual(bytes.length)
          if (!socket.destroyed) return
          expect(socket.failure).toBeInstanceOf(BridgeError)
          expect((socket.failure as BridgeError).code).toBe('PROTOCOL_ERROR')
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test.each(
    [
      'MSG a 1000000\r\n',
      'MSG a 1000000 r x 5\r\n',
      'MSG a 1000000 r x y 5\r\n',
      'MSG a z 5\r\n',
      'MSG a 1000000 -1\r\n',
      'MSG a 1000000 9999999999999999999\r\n',
      `MSG a 1000000 ${MAX_MESSAGE + 1}\r\n`,
      'HMSG a 1000000 9 5\r\n',
      'HMSG a 1000000 x 5\r\n',
      'MSGa 1000000 1 2\r\n',
      `MSG ${'x'.repeat(1_100_000)}`,
      `INFO ${'x'.repeat(1_100_000)}`,
    ].map((text) => [text.slice(0, 30).trim(), text]),
  )('breaks the link over %s', (_name, text) => {
    const { socket, feed } = connected(new Host())
    feed(cut(Buffer.from(text), [50_000]))
    expect(socket.failure).toMatchObject({ code: 'PROTOCOL_ERROR' })
  })

  test('is blocked above the high-water mark until the socket drains', () => {
    const host = new Host()
    const { tap, socket } = connected(host)
    expect(tap.write(Buffer.from('x'))).toBe(true)
    socket.writableLength = 2 * 1024 * 1024
    expect([tap.write(Buffer.from('x')), tap.blocked]).toEqual([false, true])
    socket.emit('drain')
    expect([tap.blocked, host.drains]).toEqual([false, 1])
  })

  test('stops and resumes reading, and writes nothing when it is over', () => {
    const { tap, socket } = connected(new Host())
    tap.pause()
    expect(socket.paused).toBe(true)
    tap.unpause()
    expect(socket.paused).toBe(false)
    tap.abort()
    expect(tap.write(Buffer.from('x'))).toBe(true)
    expect(socket.written).toEqual([])
    const unborn = new NatsTap(new Host())
    unborn.pause()
    unborn.unpause()
    expect(unborn.write(Buffer.from('x'))).toBe(true)
  })
})

describe('numbers of the protocol', () => {
  test('are written and read again', () => {
    fc.assert(
      fc.property(fc.oneof(fc.nat(), fc.integer({ min: 0, max: 1e15 - 1 })), (value) => {
        const out = Buffer.alloc(20)
        const end = writeNumber(out, 2, value)
        expect(out.toString('latin1', 2, end)).toBe(String(value))
        expect(digits(out, 2, end)).toBe(value)
      }),
    )
  })

  test('are nothing when they are empty, too long or no number', () => {
    const read = (text: string) => digits(Buffer.from(text), 0, text.length)
    expect(['', '1234567890123456', '1x', '/', ':'].map(read)).toEqual([-1, -1, -1, -1, -1])
  })

  test('count PING commands only, not payloads, and stop at what is no command', () => {
    const count = (text: string) => countPings(Buffer.from(text))
    expect(count('CONNECT {"a":1}\r\nPING\r\n')).toBe(1)
    expect(count('PUB a r 6\r\nPING\r\n\r\nSUB b 1\r\nPING\r\n')).toBe(1)
    expect(count('PING')).toBe(0)
  })
})

test('a connection that breaks within a batch ends the batch, so that what came before goes on its way', () => {
  const host = new Host()
  const { socket, feed } = connected(host)
  feed([Buffer.from(`MSG a ${FIRST_SID} 1\r\nx\r\nMSG nonsense\r\n`)])
  expect([host.seen.length, host.batches, socket.destroyed]).toEqual([1, 1, true])
})
