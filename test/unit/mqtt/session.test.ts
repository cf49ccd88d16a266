import { PassThrough, Writable } from 'node:stream'
import fc from 'fast-check'
import { generate, type Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { BridgeError } from '../../../src/core/errors.ts'
import type { Clock } from '../../../src/core/ports.ts'
import type { Channel } from '../../../src/mqtt/channel.ts'
import { Connection, type ConnectionEnd } from '../../../src/mqtt/connection.ts'
import { Dialects } from '../../../src/mqtt/dialects.ts'
import { FailureLog } from '../../../src/mqtt/failure-log.ts'
import { LibraryGuard } from '../../../src/mqtt/library-guard.ts'
import type { MqttLinkFacts } from '../../../src/mqtt/link-facts.ts'
import { clientOptions } from '../../../src/mqtt/options.ts'
import { PacketIds } from '../../../src/mqtt/packet-ids.ts'
import {
  mqttConfig,
  PassThroughHost,
  recordingLogger,
  systemClock,
} from '../../support/mqtt-host.ts'

describe('packet ids of the library', () => {
  test('stay in their range and are never given twice at a time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.array(fc.nat(30)), (size, freed) => {
        const ids = new PacketIds(1, size)
        const held = new Set<number>()
        for (const pick of freed) {
          const id = ids.allocate()
          expect(id === null).toBe(held.size === size)
          if (id !== null) {
            expect(held.has(id)).toBe(false)
            expect(id).toBeGreaterThanOrEqual(1)
            expect(id).toBeLessThanOrEqual(size)
            expect(ids.getLastAllocated()).toBe(id)
            held.add(id)
          }
          const back = [...held][pick % 3]
          if (back === undefined) continue
          ids.deallocate(back)
          held.delete(back)
        }
      }),
    )
  })

  test('can be asked for by number, once, and all come back together', () => {
    const ids = new PacketIds(5, 6)
    expect([ids.register(5), ids.register(5), ids.register(4), ids.register(7)]).toEqual([
      true,
      false,
      false,
      false,
    ])
    expect([ids.allocate(), ids.allocate()]).toEqual([6, null])
    ids.clear()
    expect(ids.getLastAllocated()).toBeNull()
    expect(ids.allocate()).toBe(5)
  })
})

describe('dialects', () => {
  const names = (dialects: Dialects, now = 0) => {
    const { protocolVersion, bridgeMode } = dialects.choose('s', now)
    return `${protocolVersion}${bridgeMode ? ' bridge' : ''}`
  }

  test('go down the ladder at each refusal, remember per server, and start over at its end', () => {
    const dialects = new Dialects(5)
    expect(names(dialects)).toBe('5')
    expect(dialects.refused('s', 0)).toBe(true)
    expect(names(dialects)).toBe('4 bridge')
    expect(dialects.choose('other', 0).protocolVersion).toBe(5)
    expect(dialects.refused('s', 0)).toBe(true)
    expect(names(dialects)).toBe('4')
    expect(dialects.refused('s', 0)).toBe(false)
    expect(names(dialects)).toBe('5')
  })

  test('try the best again after an hour', () => {
    const dialects = new Dialects(5)
    dialects.refused('s', 1_000)
    expect(names(dialects, 3_600_999)).toBe('4 bridge')
    expect(names(dialects, 3_601_000)).toBe('5')
  })

  test('count silent closes only in a row', () => {
    const dialects = new Dialects(4)
    expect(names(dialects)).toBe('4 bridge')
    expect(dialects.silentlyClosed('s', 0)).toBe(false)
    dialects.accepted('s')
    expect(dialects.silentlyClosed('s', 0)).toBe(false)
    expect(dialects.silentlyClosed('s', 0)).toBe(true)
    expect(names(dialects)).toBe('4')
  })
})

describe('failure log', () => {
  test('says a failure at once, the same again once a minute with its count, another one at once', () => {
    let now = 0
    const clock: Clock = { ...systemClock(), monotonic: () => now }
    const logger = recordingLogger()
    const log = new FailureLog(logger, clock)
    const first = new BridgeError('dialling', { code: 'CONNECT_REFUSED' })
    for (now = 0; now < 59_000; now += 10_000) log.failed(first, 'failed')
    log.failed(new BridgeError('dialling', { code: 'CONNECT_TIMEOUT' }), 'failed')
    now = 60_000
    log.failed(first, 'failed')
    log.clear()
    log.failed(first, 'failed')
    expect(logger.lines.map(({ message, fields }) => [message, fields['code']])).toEqual([
      ['failed', 'CONNECT_REFUSED'],
      ['failed', 'CONNECT_TIMEOUT'],
      ['failed again', 'CONNECT_REFUSED'],
      ['failed', 'CONNECT_REFUSED'],
    ])
    expect(logger.lines[2]?.fields).toMatchObject({ repeated: 6, hint: first.hint })
  })

  test('remembers a bounded number of failures', () => {
    const logger = recordingLogger()
    const log = new FailureLog(logger, systemClock())
    for (let n = 0; n < 60; n++) log.failed(new BridgeError(`${n}`, { code: 'INTERNAL' }), 'x')
    log.failed(new BridgeError('59', { code: 'INTERNAL' }), 'x')
    log.failed(new BridgeError('0', { code: 'INTERNAL' }), 'x')
    expect(logger.lines).toHaveLength(61)
  })
})

/** A connection on a channel that is a test's own; `feed` is what the server sends. */
function connectionOnFake(version: 4 | 5) {
  const channel: Channel = {
    onChunk: () => true,
    onDrain: () => undefined,
    onOpen: () => undefined,
    onClose: () => undefined,
    open: () => channel.onOpen(),
    write: (_data, done) => {
      done?.()
      return true
    },
    writableLength: 0,
    resume: () => undefined,
    end: () => undefined,
    destroy: () => undefined,
    facts: { server: 'fake:1', tlsVersion: '', certNotAfter: 0 },
  }
  const host = new PassThroughHost()
  const ends: ConnectionEnd[] = []
  const ups: MqttLinkFacts[] = []
  const dialect = { protocolVersion: version, bridgeMode: false }
  const packetIds = { first: 1, last: 255 }
  const connection = new Connection({
    channel,
    dialect,
    options: clientOptions(mqttConfig(), { dialect, topicAliasMaximum: 0, packetIds }),
    connectTimeout: 60_000,
    clock: systemClock(),
    wrap: (open) => host.wrap(open),
    up: (facts) => ups.push(facts),
    ended: (end) => ends.push(end),
    rtt: () => undefined,
  })
  connection.open()
  return { connection, ends, ups, feed: (bytes: Buffer) => channel.onChunk(bytes) }
}

test('the guard turns what the library throws while it reads into the end of the connection', async () => {
  const broken: Error[] = []
  const guard = new LibraryGuard((error) => broken.push(error))
  const stream = new PassThrough()
  guard.watch(stream)
  const parser = new Writable()
  parser._write = () => {
    throw new Error('cannot parse')
  }
  stream.pipe(parser)
  stream.write('x')
  await turn()
  expect(broken.map((error) => error.message)).toEqual(['cannot parse'])
})

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('a connection fed by a hostile server', () => {
  const sane: readonly Packet[] = [
    { cmd: 'connack', reasonCode: 0, returnCode: 0, sessionPresent: true },
    { cmd: 'suback', messageId: 1, granted: [1] },
    { cmd: 'unsuback', messageId: 1, granted: [0] },
    { cmd: 'pingresp' },
    { cmd: 'disconnect', reasonCode: 0x8b },
    { cmd: 'puback', messageId: 9, reasonCode: 0 },
    { cmd: 'pubrec', messageId: 9, reasonCode: 0 },
    { cmd: 'pubrel', messageId: 9, reasonCode: 0 },
    { cmd: 'pubcomp', messageId: 9, reasonCode: 0 },
    { cmd: 'publish', topic: 'a', payload: 'x', qos: 2, messageId: 3, retain: false, dup: false },
    { cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod: 'm' } },
    { cmd: 'connect', clientId: 'x', protocolVersion: 4, clean: true, keepalive: 0 },
    { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 0 }] },
  ]
  const noise = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
  const mutated = fc
    .tuple(fc.nat(sane.length - 1), fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 3 }))
    .map(([which, changes]) => {
      const bytes = generate(sane[which]!, { protocolVersion: 5 })
      for (const [at, value] of changes) bytes[at % bytes.length] = value
      return bytes
    })

  test.each([4, 5] as const)('ends at most once and throws nothing, MQTT %i', async (version) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(noise, mutated), { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        async (chunks, welcome) => {
          const { connection, ends, ups, feed } = connectionOnFake(version)
          const hello = { cmd: 'connack', reasonCode: 0, returnCode: 0 } as const
          await turn()
          if (welcome) {
            feed(generate({ ...hello, sessionPresent: false }, { protocolVersion: version }))
          }
          for (const chunk of chunks) {
            feed(chunk)
            await turn()
          }
          connection.abort(new BridgeError('done', { code: 'INTERNAL' }))
          await turn()
          expect(ends).toHaveLength(1)
          expect(ups.length).toBeLessThanOrEqual(1)
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test('does not collect a packet of announced megabytes', async () => {
    const { ends, feed } = connectionOnFake(5)
    feed(Buffer.from([0x20, 0xff, 0xff, 0xff, 0x7f]))
    for (let n = 0; n < 20 && ends.length === 0; n++) {
      feed(Buffer.alloc(100_000))
      await turn()
    }
    expect(ends[0]?.error).toMatchObject({ code: 'PROTOCOL_ERROR' })
  })
})
