import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Frame, NatsParser } from '../../support/nats-parser.ts'

const stream = Buffer.concat([
  Buffer.from('INFO {"server_id":"é"}\r\nPING\r\nPONG\r\n+OK\r\n'),
  Buffer.from("-ERR 'Authorization Violation'\r\n"),
  Buffer.from('MSG a.b 7 3\r\nx\r\n\r\nMSG a.b 7 _INBOX.1 0\r\n\r\n'),
  Buffer.from('HMSG c 8 r 27 29\r\nNATS/1.0\r\nA: one\r\nA:two\r\n\r\n'),
  Buffer.from([0, 0xff, 13, 10]),
  Buffer.from('HMSG d 9 16 16\r\nNATS/1.0 503\r\n\r\n\r\n'),
])

function parse(chunks: readonly Buffer[]): Frame[] {
  const frames: Frame[] = []
  const parser = new NatsParser((frame) => frames.push(frame))
  for (const chunk of chunks) parser.push(chunk)
  return frames
}

const EMPTY = Buffer.alloc(0)

describe('the NATS parser', () => {
  it('reads every kind of frame', () => {
    expect(parse([stream])).toEqual([
      { kind: 'INFO', text: '{"server_id":"é"}' },
      { kind: 'PING' },
      { kind: 'PONG' },
      { kind: 'OK' },
      { kind: 'ERR', text: 'Authorization Violation' },
      { kind: 'MSG', message: { ...plain('a.b', 7, ''), data: Buffer.from('x\r\n') } },
      { kind: 'MSG', message: { ...plain('a.b', 7, '_INBOX.1'), data: EMPTY } },
      {
        kind: 'MSG',
        message: {
          ...plain('c', 8, 'r'),
          headers: [
            ['A', 'one'],
            ['A', 'two'],
          ],
          data: Buffer.from([0, 0xff]),
        },
      },
      { kind: 'MSG', message: { ...plain('d', 9, ''), status: '503', data: EMPTY } },
    ])
  })

  it('reads the same however the bytes are cut', () => {
    const whole = parse([stream])
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: stream.length - 1 }), { maxLength: 20 })
    fc.assert(
      fc.property(cuts, (places) => {
        const ends = [...places.sort((a, b) => a - b), stream.length]
        const chunks = ends.map((end, i) => stream.subarray(ends[i - 1] ?? 0, end))
        expect(parse(chunks)).toEqual(whole)
      }),
    )
  })

  it('throws at a line it does not know', () => {
    expect(() => parse([Buffer.from('HTTP/1.1 400 Bad Request\r\n')])).toThrow('unknown line')
  })
})

function plain(subject: string, sid: number, reply: string) {
  return { subject, sid, reply, headers: [], status: '' }
}
