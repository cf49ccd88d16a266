import fc from 'fast-check'
import { generate, type IPublishPacket, parser } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { MessageView } from '../../../src/core/message-view.ts'
import { MAX_BODY, PacketType, writeAck, writeHeader } from '../../../src/mqtt/frames.ts'
import { MqttSink } from '../../../src/mqtt/sink.ts'
import { MqttSource } from '../../../src/mqtt/source.ts'
import { FIRST_PACKET_ID, type MqttTap } from '../../../src/mqtt/tap.ts'
import { viewOf } from '../../support/views.ts'

/** The part of a tap that sink and source use. */
class FakeTap {
  readonly sent: Buffer[] = []
  blocked = false
  releases = 0

  send(bytes: Buffer): void {
    this.sent.push(Buffer.from(bytes))
  }

  release(): void {
    this.releases++
  }
}

function tapped(): { tap: FakeTap; as: MqttTap } {
  const tap = new FakeTap()
  return { tap, as: tap as unknown as MqttTap }
}

function read(bytes: Buffer, protocolVersion: 4 | 5) {
  const packets: object[] = []
  const library = parser({ protocolVersion })
  library.on('packet', (packet) => {
    const { topic, payload, qos, retain, dup, messageId } = packet as IPublishPacket
    packets.push({ topic, payload: payload.toString('latin1'), qos, retain, dup, messageId })
  })
  expect(library.parse(bytes)).toBe(0)
  return packets
}

const message = fc.record({
  name: fc.constantFrom('a', 'ä/b', 'x'.repeat(65_535)),
  size: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 16_000, max: 300_000 })),
  qos: fc.constantFrom(0, 1),
  retain: fc.boolean(),
  slot: fc.integer({ min: 0, max: 32_767 }),
})

describe('the MQTT sink', () => {
  test('writes what mqtt-packet reads, for both versions, and recodes it from one to the other', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), fc.boolean(), (messages, v5) => {
        const sink = new MqttSink()
        const { tap, as } = tapped()
        sink.attach(as)
        sink.v5 = v5
        const expected = messages.map(({ name, size, qos, retain, slot }) => ({
          topic: name,
          payload: 'A'.repeat(size),
          qos,
          retain,
          dup: false,
          messageId: qos > 0 ? FIRST_PACKET_ID + slot : undefined,
        }))
        const recoded: Buffer[] = []
        messages.forEach(({ name, qos, retain, slot }, index) => {
          const target = sink.prepare(name)
          const view = viewOf({ name: 'n', payload: expected[index]?.payload ?? '', retain })
          sink.encode(view, target, qos > 0 ? slot : -1, qos)
          const frame = sink.frames.buffer.subarray(sink.frameStart, sink.frames.at)
          expect(sink.addressOf(sink.frames.buffer, sink.frameStart)).toBe(name)
          if (v5 && qos > 0) expect(sink.packetBytes(view, target)).toBe(frame.length)
          else expect(sink.packetBytes(view, target)).toBeGreaterThanOrEqual(frame.length)
          sink.v5 = !v5
          recoded.push(sink.recode(frame))
          sink.v5 = v5
        })
        sink.frames.flush((bytes) => sink.write(bytes))
        expect(read(Buffer.concat(tap.sent), v5 ? 5 : 4)).toEqual(expected)
        expect(read(Buffer.concat(recoded), v5 ? 4 : 5)).toEqual(expected)
      }),
      { numRuns: 50 },
    )
  })

  test('marks a repeat in the kept frame', () => {
    const sink = new MqttSink()
    sink.encode(viewOf({ name: 'n', payload: 'p' }), sink.prepare('t'), 3, 1)
    const frame = Buffer.from(sink.frames.buffer.subarray(sink.frameStart, sink.frames.at))
    sink.markRepeated(frame, 0)
    const [packet] = read(frame, 4)
    expect(packet).toMatchObject({ dup: true, qos: 1, topic: 't' })
  })

  test('is blocked when its connection is, and writes nothing without one', () => {
    const sink = new MqttSink()
    expect([sink.blocked, sink.up]).toEqual([false, false])
    sink.write(Buffer.from('x'))
    const { tap, as } = tapped()
    sink.attach(as)
    tap.blocked = true
    expect(sink.blocked).toBe(true)
    expect(tap.sent).toEqual([])
  })

  test('leaves out the retained flag for a broker that refuses it', () => {
    const sink = new MqttSink()
    const view = new MessageView()
    view.retain = true
    for (const available of [true, false]) {
      sink.retainAvailable = available
      sink.encode(view, sink.prepare('a'), -1, 0)
      expect((sink.frames.buffer[sink.frameStart] as number) & 1).toBe(available ? 1 : 0)
    }
  })

  test('takes payloads as far as a packet can carry them, or the broker does', () => {
    const sink = new MqttSink()
    expect(sink.maxPayload).toBe(MAX_BODY - 16)
    sink.maximumPacketSize = 1_000
    expect(sink.maxPayload).toBe(984)
  })
})

describe('the MQTT source', () => {
  test('writes the acknowledgements of a batch in one piece, in order', () => {
    const source = new MqttSource()
    const { tap, as } = tapped()
    source.attach(as)
    source.acknowledge(1, 1)
    source.acknowledge(65_535, 2)
    source.complete(300)
    expect(tap.sent).toEqual([])
    source.flushAcknowledgements()
    source.flushAcknowledgements()
    const expected = [
      generate({ cmd: 'puback', messageId: 1 }),
      generate({ cmd: 'pubrec', messageId: 65_535 }),
      generate({ cmd: 'pubcomp', messageId: 300 }),
    ]
    expect(tap.sent).toEqual([Buffer.concat(expected)])
  })

  test('drops what was not written when the connection changes, and counts connections', () => {
    const source = new MqttSource()
    const { as } = tapped()
    source.attach(as)
    const { generation } = source
    source.acknowledge(1, 1)
    const other = tapped()
    source.attach(other.as)
    expect(source.generation).toBeGreaterThan(generation)
    source.flushAcknowledgements()
    source.attach(undefined)
    source.acknowledge(2, 1)
    source.flushAcknowledgements()
    source.release()
    expect(other.tap.sent).toEqual([])
  })

  test('passes a release on to the connection', () => {
    const source = new MqttSource()
    const { tap, as } = tapped()
    source.attach(as)
    source.release()
    expect(tap.releases).toBe(1)
  })
})

describe('MQTT packets', () => {
  test('get a remaining length of as few bytes as it takes', () => {
    for (const [body, hex] of [
      [0, '3000'],
      [127, '307f'],
      [128, '308001'],
      [16_383, '30ff7f'],
      [16_384, '30808001'],
      [2_097_151, '30ffff7f'],
      [2_097_152, '3080808001'],
      [MAX_BODY, '30ffffff7f'],
    ] as const) {
      const out = Buffer.alloc(8)
      const end = writeHeader(out, 0, 0x30, body)
      expect(out.toString('hex', 0, end)).toBe(hex)
    }
  })

  test('of release carry their flag', () => {
    const out = Buffer.alloc(4)
    expect(writeAck(out, 0, PacketType.pubrel, 258)).toBe(4)
    expect(out).toEqual(generate({ cmd: 'pubrel', messageId: 258 }))
  })
})
