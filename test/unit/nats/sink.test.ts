import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NatsSink, readAnswer } from '../../../src/nats/sink.ts'
import type { NatsTap } from '../../../src/nats/tap.ts'
import { viewOf } from '../../support/views.ts'

class FakeTap {
  readonly sent: Buffer[] = []
  readonly pings: number[] = []
  blocked = false

  write(bytes: Buffer): boolean {
    this.sent.push(Buffer.from(bytes))
    return true
  }

  ping(position: number): void {
    this.pings.push(position)
  }
}

function attached() {
  const sink = new NatsSink('_INBOX.x', 'me')
  const tap = new FakeTap()
  sink.attach(tap as unknown as NatsTap)
  return { sink, tap }
}

const message = fc.record({
  subject: fc.constantFrom('a', 'a.b', 'ä', 'x'.repeat(3_000)),
  slot: fc.oneof(fc.constant(-1), fc.nat(20_000), fc.integer({ min: 1e9, max: 1e12 })),
  qos: fc.constantFrom(0, 1, 2),
  retain: fc.boolean(),
  payload: fc.oneof(fc.string({ unit: 'binary' }), fc.constant('p'.repeat(150_000))),
})

describe('the NATS sink', () => {
  test('writes publish commands with the headers of QoS and retain, and a reply that names the slot', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), (messages) => {
        const { sink, tap } = attached()
        let expected = ''
        for (const { subject, slot, qos, retain, payload } of messages) {
          const view = viewOf({ name: 'n', payload, retain })
          sink.encode(view, sink.prepare(subject), slot, qos)
          expect(sink.addressOf(sink.frames.buffer, sink.frameStart)).toBe(subject)
          const flags = retain ? 'Mqtt-Retain: 1\r\n' : ''
          const head = `NATS/1.0\r\nMqtt-Origin: me\r\nMqtt-QoS: ${qos}\r\n${flags}\r\n`
          const reply = slot < 0 ? '' : `_INBOX.x.${slot} `
          const size = head.length + Buffer.byteLength(payload)
          expected += `HPUB ${subject} ${reply}${head.length} ${size}\r\n${head}${payload}\r\n`
        }
        sink.frames.flush((bytes) => sink.write(bytes))
        expect(Buffer.concat(tap.sent).equals(Buffer.from(expected))).toBe(true)
      }),
      { numRuns: 50 },
    )
  })

  test('reads the slot off the subject of an answer', () => {
    const { sink } = attached()
    expect(sink.answers).toBe('_INBOX.x.*')
    const slots = ['_INBOX.x.0', '_INBOX.x.1234567890123', '_INBOX.x.y', '_INBOX.x.']
    expect(slots.map((name) => sink.slotOf(viewOf({ name })))).toEqual([0, 1234567890123, -1, -1])
  })

  test('leaves room for its headers in what the server takes', () => {
    const { sink } = attached()
    sink.serverMaxPayload = 1_000
    const view = viewOf({ name: 'n', payload: Buffer.alloc(sink.maxPayload), retain: true })
    sink.encode(view, sink.prepare('s'), -1, 2)
    const line = sink.frames.buffer.toString('latin1', sink.frameStart, sink.frameStart + 20)
    expect(line).toMatch(/^HPUB s \d+ 1000\r\n/)
  })

  test('pings, writes and is blocked through its connection only', () => {
    const { sink, tap } = attached()
    sink.ping(7)
    tap.blocked = true
    expect([sink.blocked, tap.pings]).toEqual([true, [7]])
    sink.attach(undefined)
    sink.ping(8)
    sink.write(Buffer.from('x'))
    expect([sink.blocked, tap.pings, tap.sent]).toEqual([false, [7], []])
  })
})

describe('the answer to a publish', () => {
  const answer = (payload: string, head = '') => readAnswer(viewOf({ name: 'i', payload, head }))

  test('says that a stream has the message', () => {
    expect(answer('{"stream":"S","seq":1}')).toBeUndefined()
    expect(answer('{"domain":"d","stream":"S","seq":1,"duplicate":true}')).toBeUndefined()
  })

  test('says that it has not, although it names the stream', () => {
    const full =
      '{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}'
    expect(answer(full)).toEqual({ code: 10_077, text: 'maximum messages exceeded' })
    expect(answer('{"error":{"code":503,"description":"d"}}')).toEqual({ code: 0, text: 'd' })
  })

  test('says that nobody listens', () => {
    expect(answer('', 'NATS/1.0 503\r\n\r\n')?.code).toBe('noResponders')
  })

  test.each(['', '{', 'null', '7', '[]', '{}', '{"error":null}', '{"error":"x"}', '+OK'])(
    'is a refusal when it makes no sense: %j',
    (text) => {
      expect(answer(text)).toMatchObject({ code: 0 })
    },
  )
})
