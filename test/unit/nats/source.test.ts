import { describe, expect, test } from 'vitest'
import type { BridgeError } from '../../../src/core/errors.ts'
import type { Refusal, StreamPosition } from '../../../src/core/lanes.ts'
import type { MessageView } from '../../../src/core/message-view.ts'
import type { ConsumerPlan } from '../../../src/nats/consumer.ts'
import { HeaderReader } from '../../../src/nats/headers.ts'
import { NatsSink } from '../../../src/nats/sink.ts'
import { NatsSource } from '../../../src/nats/source.ts'
import { ApiError } from '../../../src/nats/streams.ts'
import { FIRST_SID, type NatsTap } from '../../../src/nats/tap.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { type ViewOf, viewOf } from '../../support/views.ts'

/** What the source writes to, line by line. */
class FakeTap {
  lines: string[] = []
  readonly held: boolean[] = []

  write(bytes: Buffer): boolean {
    this.lines.push(...bytes.toString().split('\r\n').filter(Boolean))
    return true
  }

  pause(): void {
    this.held.push(true)
  }

  unpause(): void {
    this.held.push(false)
  }

  /** Takes what was written since the last call. */
  take(): string[] {
    const { lines } = this
    this.lines = []
    return lines
  }
}

/** A JetStream API with one consumer per stream, as new as it gets. */
class Api {
  readonly consumers = new Map<string, Set<string>>()
  delivered = 0
  last = 0
  failing = false
  /** While set, requests wait. */
  gate: Promise<void> | undefined

  readonly ask = async (subject: string): Promise<Record<string, unknown>> => {
    await this.gate
    if (this.failing) throw new ApiError(subject, { err_code: 1, description: 'no' })
    const [, verb, stream = '', name = ''] = subject.split('.')
    const names = this.consumers.get(stream) ?? new Set()
    this.consumers.set(stream, names)
    if (subject.startsWith('STREAM.INFO')) return { created: 'c', state: { last_seq: this.last } }
    if (verb === 'NAMES') return { total: names.size, consumers: [...names] }
    if (verb === 'DELETE') names.delete(name)
    if (verb === 'CREATE') names.add(name)
    const place = { consumer_seq: verb === 'CREATE' ? 0 : this.delivered, stream_seq: 0 }
    return {
      name,
      config: { filter_subjects: ['a.>'] },
      delivered: place,
      ack_floor: place,
      num_ack_pending: 0,
    }
  }
}

function stage() {
  const log: unknown[] = []
  const failures: BridgeError[] = []
  const api = new Api()
  const clock = new ManualClock()
  const sink = new NatsSink('_INBOX.me', 'origin')
  const handler = {
    space: 100,
    onAnswer: (position: number, refusal: Refusal | undefined) =>
      log.push(['answer', position, refusal]),
    onLive: (view: MessageView, subscription: number) =>
      log.push(['live', view.name, view.qos, subscription]),
    onStream: (view: MessageView, { consumer, streamSequence }: StreamPosition, route: number) =>
      log.push(['stream', view.name, consumer, streamSequence, route]),
    onPong: (position: number) => log.push(['pong', position]),
    onBatchEnd: () => log.push('end'),
    onDrain: () => log.push('drain'),
    room: () => handler.space,
    onDenied: (subject: string) => log.push(['denied', subject]),
  }
  const quiet = (): void => undefined
  const source = new NatsSource({
    sink,
    headers: new HeaderReader('origin'),
    api: api.ask,
    clock,
    logger: {
      debug: quiet,
      info: quiet,
      warn: quiet,
      error: quiet,
      failure: (error) => failures.push(error),
    },
    inbox: '_INBOX.mec',
    windowBytes: 1_000_000,
    handler,
    onStreamsChanged: () => log.push('streams'),
  })
  const connect = (): FakeTap => {
    const tap = new FakeTap()
    source.attach(tap as unknown as NatsTap)
    return tap
  }
  const see = (subscription: number, message: ViewOf) =>
    source.onMessage(subscription, viewOf(message))
  return { source, sink, api, clock, handler, log, failures, connect, see }
}

function plan(stream = 'S', name = 'C'): ConsumerPlan {
  return { stream, route: 7, name, filters: ['a.>'], startAt: 'new' }
}

/** Lets the promises of the fake API run to their end. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const FIRST_CONSUMER = 10_000
const reply = (sequence: number, name = 'C_1') => `$JS.ACK.S.${name}.1.${sequence}.${sequence}.9.0`
const pulls = (lines: readonly string[]) =>
  lines.flatMap((line) => /"batch":(\d+)/.exec(line)?.[1] ?? []).map(Number)

test('a consumer that is not wanted any more is not set up again', async () => {
  const { source, api, clock, connect } = stage()
  api.failing = true
  const tap = connect()
  source.consume([plan()])
  await settle()
  source.consume([])
  api.failing = false
  tap.take()
  clock.pass(5_000)
  await settle()
  expect(tap.take()).toEqual([])
  expect([...api.consumers.values()].flatMap((names) => [...names])).toEqual([])
})

describe('the subscriptions of the NATS source', () => {
  test('are written on every connection: answers, news and the wildcards that count', () => {
    const { source, connect } = stage()
    source.subscribe(['a.>', undefined, 'b'])
    expect(source.subscriptions).toBe(0)
    for (const tap of [connect(), connect()]) {
      expect(tap.take()).toEqual([
        `SUB _INBOX.me.* ${FIRST_SID}`,
        `SUB $JS.EVENT.ADVISORY.STREAM.*.* ${FIRST_SID + 9_999}`,
        `SUB a.> ${FIRST_SID + 1}`,
        `SUB b ${FIRST_SID + 3}`,
      ])
      expect(source.subscriptions).toBe(2)
    }
  })

  test('change by their differences', () => {
    const { source, connect } = stage()
    source.subscribe(['a', 'b', undefined])
    const tap = connect()
    tap.take()
    source.subscribe(['a', 'c', 'd', 'e'])
    expect(tap.take()).toEqual([
      `UNSUB ${FIRST_SID + 2}`,
      `SUB c ${FIRST_SID + 2}`,
      `SUB d ${FIRST_SID + 3}`,
      `SUB e ${FIRST_SID + 4}`,
    ])
    source.subscribe([undefined])
    expect(tap.take()).toEqual([1, 2, 3, 4].map((one) => `UNSUB ${FIRST_SID + one}`))
  })

  test('lead to who wants what comes in', () => {
    const { source, see, log } = stage()
    see(0, { name: '_INBOX.me.12', payload: '{"stream":"S","seq":1}' })
    see(0, { name: '_INBOX.me.13', head: 'NATS/1.0 503\r\n\r\n' })
    see(2, { name: 'a.b', head: 'NATS/1.0\r\nMqtt-QoS: 1\r\n\r\n' })
    see(9_999, { name: '$JS.EVENT.ADVISORY.STREAM.CREATED.S' })
    see(FIRST_CONSUMER + 5, { name: 'a', reply: 'r' })
    source.onPong(4)
    source.onDrain()
    source.onBatchEnd()
    expect(log).toMatchObject([
      ['answer', 12, undefined],
      ['answer', 13, { code: 'noResponders' }],
      ['live', 'a.b', 1, 2],
      'streams',
      ['pong', 4],
      'drain',
      'end',
    ])
  })

  test('that are denied are a reason not to be ready, until the next connection', () => {
    const { source, connect, log } = stage()
    source.onServerError(`-ERR 'Permissions Violation for Subscription to "a.>"'`)
    source.onServerError(
      `-ERR 'Permissions Violation for Subscription to "$JS.EVENT.ADVISORY.STREAM.*.*"'`,
    )
    source.onServerError(`-ERR 'Permissions Violation for Publish to "x.y"'`)
    source.onServerError(`-ERR 'Stale Connection'`)
    expect(source.reasons).toEqual(["subscribing to 'a.>' is not permitted"])
    expect(log).toEqual([['denied', 'x.y']])
    connect()
    expect(source.reasons).toEqual([])
  })

  test('are held and let go with the connection there is', () => {
    const { source, connect } = stage()
    source.hold(true)
    const tap = connect()
    source.hold(true)
    source.hold(false)
    expect(tap.held).toEqual([true, false])
  })

  test('bring messages as large as the server allows, and large replies of its API', () => {
    const { source, sink } = stage()
    sink.serverMaxPayload = 1_000
    expect(source.maxMessage()).toBeGreaterThan(8_000_000)
    sink.serverMaxPayload = 64_000_000
    expect(source.maxMessage()).toBeGreaterThan(64_000_000)
  })
})

describe('the durable consumers of the NATS source', () => {
  test('are subscribed, brought into step and asked for as much as there is room', async () => {
    const { source, connect, see, log, handler } = stage()
    source.consume([plan()])
    const tap = connect()
    expect(source.reasons).toEqual(["reading stream 'S' is being set up"])
    expect(tap.take()).toContain(`SUB _INBOX.mec.0 ${FIRST_SID + FIRST_CONSUMER}`)
    await settle()
    expect(source.reasons).toEqual([])
    const [command] = tap.take()
    expect(command).toMatch(/^PUB \$JS.API.CONSUMER.MSG.NEXT.S.C_1 _INBOX.mec.0 /)
    for (let i = 1; i <= 60; i++) see(FIRST_CONSUMER, { name: `a.${i}`, reply: reply(i) })
    expect(log.slice(0, 2)).toEqual([
      ['stream', 'a.1', 0, 1, 7],
      ['stream', 'a.2', 0, 2, 7],
    ])
    source.refill()
    expect(pulls(tap.take())).toEqual([60])
    handler.space = 0
    source.refill()
    expect(tap.take()).toEqual([])
    source.settled(0, 1, 2, 2)
    expect(tap.take()).toEqual(['PUB $JS.ACK.S.C_1.1.2.2.0.0 4', '+ACK'])
    source.settled(9, 1, 2, 2)
    expect(tap.take()).toEqual([])
  })

  test('share the room, and never ask for more than there is', async () => {
    const { source, connect, handler } = stage()
    handler.space = 101
    source.consume([plan('S', 'C'), plan('T', 'D'), plan('U', 'E')])
    const tap = connect()
    await settle()
    const asked = source.consumers.map((one) => one.asked)
    expect(Math.min(...asked)).toBeGreaterThan(0)
    expect(asked.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(101)
    expect(pulls(tap.take())).toEqual(asked)
  })

  test('that stay keep their place, and a number once used is never another one', async () => {
    const { source, connect } = stage()
    const tap = connect()
    source.consume([plan('S', 'C'), plan('T', 'D')])
    await settle()
    const [first] = source.consumers
    source.consume([plan('S', 'C')])
    expect(source.consumers).toEqual([first])
    source.consume([])
    tap.take()
    source.consume([plan('V', 'F')])
    expect(source.consumers[0]?.index).toBe(2)
    await settle()
    source.settled(0, 1, 500, 500)
    expect(tap.take().some((line) => line.includes('ACK'))).toBe(false)
  })

  test('are made anew after a gap, through another inbox', async () => {
    const { source, connect, see, log, api } = stage()
    source.consume([plan()])
    const tap = connect()
    await settle()
    tap.take()
    see(FIRST_CONSUMER, { name: 'a', reply: reply(1) })
    api.delivered = api.last = 3
    see(FIRST_CONSUMER, { name: 'a', reply: reply(3) })
    expect(tap.take()).toEqual([
      `UNSUB ${FIRST_SID + FIRST_CONSUMER}`,
      `SUB _INBOX.mec.1 ${FIRST_SID + FIRST_CONSUMER}`,
    ])
    see(FIRST_CONSUMER, { name: 'a', reply: reply(4) })
    await settle()
    expect(log).toHaveLength(1)
    expect([...(api.consumers.get('S') ?? [])]).toEqual(['C_2'])
    expect(tap.take()[0]).toContain('_INBOX.mec.1')
    // late, from the one that is deleted
    see(FIRST_CONSUMER, { name: 'a', reply: reply(5) })
    expect(tap.take()).toEqual([])
    see(FIRST_CONSUMER, { name: 'a', reply: reply(1, 'C_2') })
    expect(log).toHaveLength(2)
  })

  test('repeat on a new connection what was settled without one', async () => {
    const { source, connect, see, api } = stage()
    source.consume([plan()])
    connect()
    await settle()
    see(FIRST_CONSUMER, { name: 'a', reply: reply(1) })
    source.attach(undefined)
    source.settled(0, 1, 1, 1)
    source.refill()
    api.delivered = api.last = 1
    const tap = connect()
    await settle()
    expect(tap.take()).toContain('PUB $JS.ACK.S.C_1.1.1.1.0.0 4')
  })

  test.each([
    ['404 No Messages', false],
    ['408 Request Timeout', false],
    ['409 Message Size Exceeds MaxBytes', false],
    ['409 Batch Completed', false],
    ['409 Consumer Deleted', true],
    ['409 Leadership Change', true],
    ['503', true],
  ])('end a pull with %s', async (status, again) => {
    const { source, connect, see, log } = stage()
    source.consume([plan()])
    const tap = connect()
    await settle()
    tap.take()
    const pending = 'Nats-Pending-Messages: 30\r\n'
    see(FIRST_CONSUMER, { name: 'i', head: `NATS/1.0 ${status}\r\n${pending}\r\n` })
    const [consumer] = source.consumers
    expect(consumer?.ready).toBe(!again)
    // the stream may be gone with it
    expect(log.includes('streams')).toBe(again)
    if (!again) expect(consumer?.asked).toBe(70)
    see(FIRST_CONSUMER, { name: 'i', head: `NATS/1.0 ${status}\r\n\r\n` })
    expect(consumer?.asked).toBe(0)
  })

  test('take heartbeats and what is no status for a sign of life', async () => {
    const { source, connect, see, clock } = stage()
    source.consume([plan()])
    connect()
    await settle()
    clock.time += 20_000
    see(FIRST_CONSUMER, { name: 'i', head: 'NATS/1.0 100 Idle Heartbeat\r\n\r\n' })
    see(FIRST_CONSUMER, { name: 'i' })
    clock.time += 20_000
    source.tick()
    const [consumer] = source.consumers
    expect([consumer?.ready, consumer?.asked]).toEqual([true, 100])
    clock.time += 10_000
    source.tick()
    expect(consumer?.ready).toBe(false)
  })

  test('say why they are not in step, and try again', async () => {
    const { source, connect, api, failures, clock } = stage()
    api.failing = true
    source.consume([plan()])
    connect()
    await settle()
    expect(failures).toMatchObject([{ code: 'NATS_CONSUMER' }])
    expect(source.reasons[0]).toContain('NATS_CONSUMER')
    clock.pass(1_000)
    await settle()
    expect(failures).toHaveLength(2)
    api.failing = false
    clock.pass(1_000)
    await settle()
    expect(source.reasons).toEqual([])
  })

  test('begin again when the connection changes half-way, and stop when they are not wanted any more', async () => {
    const { source, connect, api, failures, clock } = stage()
    let open = (): void => undefined
    api.gate = new Promise((resolve) => {
      open = resolve
    })
    source.consume([plan()])
    const old = connect()
    const tap = connect()
    old.take()
    open()
    await settle()
    await settle()
    expect(pulls(old.take())).toEqual([])
    expect(pulls(tap.take())).toEqual([100])
    api.failing = true
    connect()
    source.attach(undefined)
    await settle()
    expect(failures).toEqual([])
    connect()
    await settle()
    source.consume([])
    clock.pass(1_000)
    await settle()
    expect(source.reasons).toEqual([])
  })
})
