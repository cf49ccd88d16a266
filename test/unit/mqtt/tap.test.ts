import fc from 'fast-check'
import { generate, type IPublishPacket, type Packet, parser } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { BridgeError } from '../../../src/core/errors.ts'
import type { MessageView } from '../../../src/core/message-view.ts'
import type { Channel } from '../../../src/mqtt/channel.ts'
import { MqttTap, type MqttTapHost } from '../../../src/mqtt/tap.ts'
import { chunkSizes, cut } from '../../support/chunks.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { payloadOf } from '../../support/views.ts'

const MAX_PACKET = 400_000

/** What the tap reads from: hands over one piece at a time, as far as it is told to go on. */
class ScriptedChannel implements Channel {
  onChunk: Channel['onChunk'] = () => true
  onDrain: Channel['onDrain'] = () => undefined
  onOpen: Channel['onOpen'] = () => undefined
  onClose: Channel['onClose'] = () => undefined
  readonly facts = { server: 's:1', tlsVersion: '', certNotAfter: 0 }
  readonly written: Buffer[] = []
  writableLength = 0
  destroyed = false
  ended = false
  readonly #pieces: Buffer[] = []
  readonly #reused = Buffer.alloc(1_500_000)
  #paused = false
  #feeding = false

  open(): void {
    this.onOpen()
  }

  write(data: Buffer): boolean {
    this.written.push(data)
    return true
  }

  /** Puts pieces on the wire; they are read at once, unless reading is stopped. */
  feed(pieces: readonly Buffer[]): void {
    this.#pieces.push(...pieces)
    this.#pump()
  }

  get unread(): number {
    return this.#pieces.length
  }

  resume(): void {
    this.#paused = false
    this.#pump()
  }

  end(): void {
    this.ended = true
  }

  destroy(): void {
    this.destroyed = true
  }

  #pump(): void {
    if (this.#feeding) return
    this.#feeding = true
    while (!this.#paused && !this.destroyed) {
      const piece = this.#pieces.shift()
      if (piece === undefined) break
      // the buffer is the channel's again when the call returns
      const chunk = this.#reused.subarray(0, piece.copy(this.#reused))
      if (!this.onChunk(chunk)) this.#paused = true
      this.#reused.fill(0, 0, piece.length)
    }
    this.#feeding = false
  }
}

interface Seen {
  readonly topic: string
  readonly payload: string
  readonly qos: number
  readonly retain: boolean
  readonly dup: boolean
  readonly messageId: number
}

/** Notes everything the tap hands over; says stop as the script tells. */
class Host implements MqttTapHost {
  accepting = true
  readonly seen: (Seen | string)[] = []
  readonly subscriptions: number[] = []
  readonly #goes: readonly boolean[]
  #asked = 0
  batches = 0
  drains = 0
  stops = 0

  constructor(goes: readonly boolean[] = [true]) {
    this.#goes = goes
  }

  onMessage(view: MessageView): boolean {
    const { qos, retain, dup, packetId: messageId } = view
    this.subscriptions.push(view.subscription)
    const payload = payloadOf(view).toString('latin1')
    this.seen.push({ topic: view.name, payload, qos, retain, dup, messageId })
    return this.#next()
  }

  onBatchEnd(): boolean {
    this.batches++
    return this.#next()
  }

  onAcknowledgement(type: number, packetId: number, reason: number): void {
    this.seen.push(`ack ${type} ${packetId} ${reason}`)
  }

  onRelease(packetId: number): void {
    this.seen.push(`release ${packetId}`)
  }

  onAcknowledgementsEnd(): void {
    // nothing is gathered here
  }

  onDrain(): void {
    this.drains++
  }

  onStopped(): void {
    this.stops++
  }

  onOversize(view: MessageView, length: number): boolean {
    this.seen.push(`oversize ${view.name} ${length}`)
    return this.#next()
  }

  #next(): boolean {
    return this.#goes[this.#asked++ % this.#goes.length] ?? true
  }
}

function connected(host: MqttTapHost, protocolVersion: 4 | 5, aliases = 10) {
  const channel = new ScriptedChannel()
  const clock = new ManualClock()
  const options = { clock, maxPacketSize: MAX_PACKET, topicAliasMaximum: aliases }
  const tap = new MqttTap(channel, host, options)
  const errors: Error[] = []
  const passed = (): Buffer => (tap.read() as Buffer | null) ?? Buffer.alloc(0)
  tap.on('error', (error: Error) => errors.push(error))
  tap.write(
    generate({ cmd: 'connect', clientId: 'c', protocolId: 'MQTT', protocolVersion, clean: true }),
  )
  return { channel, clock, tap, passed, errors }
}

const topic = fc.oneof(
  fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }).filter((one) => !/[+#\0]/.test(one)),
  fc.constantFrom('a', 'a/b', 'x'.repeat(65_535)),
)
const payload = fc
  .oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 40 }) },
    { weight: 2, arbitrary: fc.integer({ min: 100, max: 20_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 60_000, max: 200_000 }) },
  )
  .chain((size) => fc.nat(255).map((fill) => Buffer.alloc(size, fill)))
const text = fc.string({ maxLength: 8, unit: 'grapheme' })
const properties = fc.record(
  {
    payloadFormatIndicator: fc.boolean(),
    messageExpiryInterval: fc.nat(100_000),
    contentType: text,
    responseTopic: fc.constantFrom('r', 'r/1'),
    correlationData: fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes)),
    subscriptionIdentifier: fc.integer({ min: 1, max: 268_435_455 }),
    userProperties: fc.dictionary(fc.constantFrom('k', 'key', 'ü'), text, {
      minKeys: 1,
      maxKeys: 2,
    }),
  },
  { requiredKeys: [] },
)
const id = fc.integer({ min: 1, max: 65_535 })

function publish(version: 4 | 5): fc.Arbitrary<Packet> {
  return fc
    .record({
      cmd: fc.constant('publish' as const),
      topic,
      payload,
      qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
      retain: fc.boolean(),
      dup: fc.boolean(),
      messageId: id,
      properties,
    })
    .map(({ messageId, properties: own, dup, ...rest }): Packet => {
      const common = { ...rest, dup: dup && rest.qos > 0, ...(rest.qos > 0 ? { messageId } : {}) }
      return version === 5 ? { ...common, properties: own } : common
    })
}

function control(version: 4 | 5): fc.Arbitrary<Packet> {
  const granted = version === 5 ? [0, 1, 2, 0x87] : [0, 1, 2, 0x80]
  return fc.oneof(
    fc.constant<Packet>({ cmd: 'pingresp' }),
    fc.record({
      cmd: fc.constant('suback' as const),
      messageId: id,
      granted: fc.array(fc.constantFrom(...granted), { minLength: 1, maxLength: 200 }),
    }),
    id.map((messageId): Packet => ({ cmd: 'unsuback', messageId, granted: [0] })),
    ...(version === 5
      ? [
          fc.constant<Packet>({ cmd: 'auth', reasonCode: 0 }),
          fc.constant<Packet>({ cmd: 'disconnect', reasonCode: 0x8b }),
        ]
      : []),
  )
}

function acknowledgement(version: 4 | 5): fc.Arbitrary<Packet> {
  const cmd = fc.constantFrom('puback' as const, 'pubrec' as const, 'pubcomp' as const)
  const release = id.map((messageId): Packet => ({ cmd: 'pubrel', messageId }))
  const plain = fc.record({ cmd, messageId: id })
  if (version === 4) return fc.oneof(plain, release)
  const reason = fc.record({
    cmd: fc.constantFrom('puback' as const, 'pubrec' as const),
    messageId: id,
    reasonCode: fc.constantFrom(0x10, 0x87, 0x97),
    properties: fc.record({ reasonString: text }, { requiredKeys: [] }),
  })
  return fc.oneof(plain, release, reason as fc.Arbitrary<Packet>)
}

const version = fc.constantFrom(4 as const, 5 as const)
const stream = version.chain((one) =>
  fc.record({
    protocolVersion: fc.constant(one),
    packets: fc.array(
      fc.oneof(
        { weight: 5, arbitrary: publish(one) },
        { weight: 2, arbitrary: control(one) },
        { weight: 2, arbitrary: acknowledgement(one) },
      ),
      { maxLength: 20 },
    ),
  }),
)

const TYPES: Readonly<Record<string, number>> = { puback: 4, pubrec: 5, pubcomp: 7 }

/** What `mqtt-packet` reads from the same bytes: what is ours, and the bytes of what is the library's. */
function reference(bytes: Buffer, packets: readonly Packet[], protocolVersion: 4 | 5) {
  const ours: (Seen | string)[] = []
  const passed: Buffer[] = []
  const library = parser({ protocolVersion })
  let at = 0
  library.on('packet', (packet) => {
    const raw = generate(packets[at++] as Packet, { protocolVersion })
    if (packet.cmd === 'publish') ours.push(seen(packet))
    else if (packet.cmd === 'pubrel') ours.push(`release ${packet.messageId}`)
    else if (TYPES[packet.cmd] !== undefined) {
      const { reasonCode = 0 } = packet as { reasonCode?: number }
      ours.push(`ack ${TYPES[packet.cmd]} ${packet.messageId} ${reasonCode}`)
    } else passed.push(raw)
  })
  library.parse(bytes)
  expect(at).toBe(packets.length)
  return { ours, passed: Buffer.concat(passed) }
}

function seen(packet: IPublishPacket): Seen {
  const { qos, retain, dup, messageId = 0 } = packet
  const body = Buffer.from(packet.payload as Buffer).toString('latin1')
  return { topic: packet.topic, payload: body, qos, retain, dup, messageId }
}

const script = fc.array(fc.boolean(), { maxLength: 5 }).map((one) => [...one, true])

describe('the tap on an MQTT connection', () => {
  test('takes the same messages as mqtt-packet, and passes every other packet on byte by byte', () => {
    fc.assert(
      fc.property(stream, chunkSizes, ({ protocolVersion, packets }, cuts) => {
        const bytes = Buffer.concat(packets.map((one) => generate(one, { protocolVersion })))
        const expected = reference(bytes, packets, protocolVersion)
        const host = new Host()
        const { channel, passed, errors } = connected(host, protocolVersion)
        channel.feed(cut(bytes, cuts))
        expect(errors).toEqual([])
        expect(host.seen).toEqual(expected.ours)
        expect(passed().equals(expected.passed)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  test('loses, doubles and reorders nothing however often the host says stop, or takes nothing at all', () => {
    const turn = fc.constantFrom('release', 'accept', 'refuse', 'wait')
    fc.assert(
      fc.property(stream, chunkSizes, script, fc.array(turn), (given, cuts, goes, turns) => {
        const { protocolVersion, packets } = given
        const bytes = Buffer.concat(packets.map((one) => generate(one, { protocolVersion })))
        const expected = reference(bytes, packets, protocolVersion)
        const host = new Host(goes)
        const { channel, clock, tap, passed, errors } = connected(host, protocolVersion)
        for (const piece of cut(bytes, cuts)) {
          channel.feed([piece])
          const next = turns.shift()
          if (next === 'release') tap.release()
          else if (next === 'accept') {
            host.accepting = true
            tap.release()
          } else if (next === 'refuse') host.accepting = false
          clock.pass(1)
        }
        host.accepting = true
        for (let i = 0; i < 10_000 && (tap.stopped || channel.unread > 0); i++) {
          tap.release()
          clock.pass(5)
        }
        expect(tap.stopped || channel.unread > 0).toBe(false)
        expect(errors).toEqual([])
        expect(host.seen).toEqual(expected.ours)
        expect(passed().equals(expected.passed)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  test('hands over no message while the host takes none, yet acknowledgements before it', () => {
    const host = new Host()
    host.accepting = false
    const { channel, tap } = connected(host, 4)
    const packets: Packet[] = [
      { cmd: 'puback', messageId: 300 },
      { cmd: 'publish', topic: 't', payload: 'p', qos: 0, dup: false, retain: false },
    ]
    channel.feed([Buffer.concat(packets.map((one) => generate(one)))])
    expect(host.seen).toEqual(['ack 4 300 0'])
    expect([tap.stopped, host.stops]).toEqual([true, 1])
    host.accepting = true
    tap.release()
    expect(host.seen).toHaveLength(2)
    expect(tap.stopped).toBe(false)
  })

  test('skips a message above the largest packet taken, told by its topic, and reads on behind it', () => {
    fc.assert(
      fc.property(version, fc.integer({ min: 1, max: 50_000 }), chunkSizes, (level, over, cuts) => {
        const big = { cmd: 'publish', topic: 'big', qos: 1, messageId: 9, dup: false } as const
        const small = { cmd: 'publish', topic: 's', qos: 0, dup: false, retain: false } as const
        const bytes = [
          generate({ ...small, payload: 'before' }, { protocolVersion: level }),
          generate(
            { ...big, retain: false, payload: Buffer.alloc(MAX_PACKET + over, 48) },
            { protocolVersion: level },
          ),
          generate({ ...small, payload: 'after' }, { protocolVersion: level }),
        ]
        const host = new Host()
        const { channel, errors } = connected(host, level)
        channel.feed(cut(Buffer.concat(bytes), cuts))
        expect(errors).toEqual([])
        expect(host.seen.map((one) => (typeof one === 'string' ? one : one.payload))).toEqual([
          'before',
          `oversize big ${(bytes[1] as Buffer).length}`,
          'after',
        ])
      }),
      { numRuns: 50 },
    )
  })

  test('puts the topic an alias stands for in its place, and the lowest identifier of several', () => {
    const host = new Host()
    const { channel, errors } = connected(host, 5)
    const common = { cmd: 'publish', qos: 0, dup: false, retain: false } as const
    const packets: Packet[] = [
      { ...common, topic: 'long/name', payload: '1', properties: { topicAlias: 3 } },
      {
        ...common,
        topic: '',
        payload: '22',
        properties: { topicAlias: 3, contentType: 'c', subscriptionIdentifier: [9, 4, 7] },
      } as unknown as Packet,
      { ...common, topic: 'other', payload: '3', properties: { topicAlias: 3 } },
      { ...common, topic: '', payload: '', properties: { topicAlias: 3 } },
    ]
    channel.feed([Buffer.concat(packets.map((one) => generate(one, { protocolVersion: 5 })))])
    expect(errors).toEqual([])
    expect(host.seen).toMatchObject([
      { topic: 'long/name', payload: '1' },
      { topic: 'long/name', payload: '22' },
      { topic: 'other', payload: '3' },
      { topic: 'other', payload: '' },
    ])
    expect(host.subscriptions).toEqual([0, 4, 0, 0])
  })

  const bad: Readonly<Record<string, string>> = {
    'a remaining length of five bytes': '30ffffffff01',
    'QoS 3': '360400016101',
    'no topic': '300100',
    'a topic that runs over the end': '300400096161',
    'packet id 0': '320500016100 00',
    'a QoS 1 packet that ends before its id': '320300 0161',
    'a control packet beyond reason': '90ffffff7f',
    'an acknowledgement without an id': '400100',
    'an empty topic': '3003000000',
  }
  const badV5: Readonly<Record<string, string>> = {
    'no property length, and a zero behind the packet': '3003000161 00',
    'a property length that does not end': '3005000161ffff',
    'a property length of five bytes': '300800016180808080 01',
    'properties that run over the end': '3004000161 05',
    'a property over the end of its block': '3006000161 020200',
    'an unknown property': '3006000161 027f00',
    'an identifier that does not end': '3006000161 020bff',
    'an alias that was never set': '30060000 03230001',
    'an alias above the maximum': '30060000 03230fff',
    'a string that runs over': '3008000161 0403 0009 41',
  }
  test.each([
    ...Object.entries(bad).map(([what, hex]) => [what, hex, 4] as const),
    ...Object.entries(badV5).map(([what, hex]) => [what, hex, 5] as const),
  ])('breaks the link over %s', (_what, hex, level) => {
    const host = new Host()
    const { channel, tap, errors } = connected(host, level)
    channel.feed([Buffer.from(hex.replaceAll(' ', ''), 'hex')])
    expect(tap.destroyed).toBe(true)
    expect(channel.destroyed).toBe(true)
    expect(host.seen).toEqual([])
    return new Promise<void>((resolve) => {
      tap.once('close', () => {
        expect(errors).toMatchObject([{ code: 'PROTOCOL_ERROR' }])
        resolve()
      })
    })
  })

  test('meets garbage and mutated streams with nothing but a protocol error, and payloads stay in bounds', () => {
    const edit = fc.record({ at: fc.nat(), byte: fc.nat(255) })
    const garbage = fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes))
    fc.assert(
      fc.property(
        fc.option(stream),
        garbage,
        fc.array(edit, { maxLength: 5 }),
        chunkSizes,
        version,
        (given, noise, edits, cuts, level) => {
          const valid = (given?.packets ?? []).map((one) =>
            generate(one, { protocolVersion: given?.protocolVersion ?? 4 }),
          )
          const bytes = Buffer.concat([...valid, noise])
          for (const { at, byte } of edits) if (bytes.length > 0) bytes[at % bytes.length] = byte
          let taken = 0
          const host = new (class extends Host {
            override onMessage(view: MessageView): boolean {
              expect(view.payloadEnd).toBeGreaterThanOrEqual(view.payloadStart)
              expect(view.payloadStart).toBeGreaterThanOrEqual(view.headEnd)
              expect(view.headEnd).toBeGreaterThanOrEqual(view.headStart)
              expect(view.nameEnd).toBeGreaterThan(view.nameStart)
              expect(view.payloadEnd).toBeLessThanOrEqual(view.buffer.length)
              taken += view.payloadEnd - view.payloadStart
              return true
            }
          })()
          const { channel, tap } = connected(host, level)
          channel.feed(cut(bytes, cuts))
          // nothing is invented: aliases aside, no more comes out than went in
          expect(taken).toBeLessThanOrEqual(bytes.length)
          if (!tap.destroyed) return
          const { errored } = tap
          expect(errored).toBeInstanceOf(BridgeError)
          expect((errored as BridgeError).code).toBe('PROTOCOL_ERROR')
        },
      ),
      { numRuns: 1_000 },
    )
  })
})

describe('the writing end of the tap', () => {
  test('joins what the library writes in one turn, and reads the version off its CONNECT', async () => {
    const { channel, tap } = connected(new Host(), 5)
    expect(tap.v5).toBe(true)
    expect(connected(new Host(), 4).tap.v5).toBe(false)
    tap.cork()
    tap.write(Buffer.from([0xc0]))
    tap.write(Buffer.from([0x00]))
    tap.uncork()
    expect(channel.written.at(-1)).toEqual(Buffer.from([0xc0, 0]))
    tap.send(Buffer.from([1, 2, 3]))
    expect(channel.written.at(-1)).toEqual(Buffer.from([1, 2, 3]))
  })

  test('recognises the version of a bridge, whose level carries a high bit', () => {
    const { tap } = connected(new Host(), 5)
    const connect = { cmd: 'connect', clientId: 'c', protocolVersion: 4, bridgeMode: true }
    tap.write(generate(connect as Packet))
    expect(tap.v5).toBe(false)
  })

  test('is blocked above the high-water mark until the channel drains', () => {
    const host = new Host()
    const { channel, tap } = connected(host, 4)
    tap.send(Buffer.alloc(10))
    expect(tap.blocked).toBe(false)
    channel.writableLength = 2 * 1024 * 1024
    tap.send(Buffer.alloc(10))
    expect(tap.blocked).toBe(true)
    channel.onDrain()
    expect([tap.blocked, host.drains]).toEqual([false, 1])
  })

  test('ends with its channel, and writes nothing afterwards', async () => {
    const { channel, tap, errors } = connected(new Host(), 4)
    const opened: string[] = []
    tap.on('connect', () => opened.push('connect'))
    channel.open()
    expect(opened).toEqual(['connect'])
    tap.end()
    expect(channel.ended).toBe(true)
    channel.onClose(undefined)
    const before = channel.written.length
    tap.send(Buffer.from('x'))
    tap.release()
    expect([tap.destroyed, channel.written.length, errors]).toEqual([true, before, []])
    const other = connected(new Host(), 4)
    other.channel.onClose(new Error('reset'))
    expect(other.tap.errored?.message).toBe('reset')
  })

  test('gathers small reads under load, and goes on reading by itself', () => {
    const host = new Host()
    const { channel, clock } = connected(host, 4)
    const one = generate({
      cmd: 'publish',
      topic: 't',
      payload: '',
      qos: 0,
      dup: false,
      retain: false,
    })
    channel.feed([one])
    clock.time += 30
    const burst = Buffer.concat(Array.from({ length: 1_000 }, () => one))
    channel.feed([burst, one])
    expect([host.seen.length, channel.unread]).toEqual([1_001, 1])
    clock.pass(2)
    expect([host.seen.length, channel.unread]).toEqual([1_002, 0])
  })
})

test('a connection that breaks within a batch ends the batch, so that what came before goes on its way', () => {
  const host = new Host()
  const { channel, tap } = connected(host, 4)
  const good = generate({
    cmd: 'publish',
    topic: 'a',
    payload: 'x',
    qos: 0,
    dup: false,
    retain: false,
  })
  channel.feed([Buffer.concat([good, Buffer.from([0x36, 4, 0, 1, 97, 0])])])
  expect([host.seen.length, host.batches, tap.destroyed]).toEqual([1, 1, true])
})

test('a packet that is no PUBLISH is not read as one, however large', () => {
  const host = new Host()
  const channel = new ScriptedChannel()
  const options = { clock: new ManualClock(), maxPacketSize: 1_024, topicAliasMaximum: 0 }
  const tap = new MqttTap(channel, host, options)
  tap.on('error', () => undefined)
  channel.feed([Buffer.concat([Buffer.from([0x90, 0x80, 0x80, 0x08]), Buffer.alloc(100_000)])])
  expect([host.seen, tap.destroyed]).toEqual([[], true])
})
