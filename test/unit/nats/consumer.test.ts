import { describe, expect, test } from 'vitest'
import { type ConsumerPlan, DurableConsumer } from '../../../src/nats/consumer.ts'
import { consumerName, generationOf } from '../../../src/nats/consumer-names.ts'
import { ApiError, type ApiRequest } from '../../../src/nats/streams.ts'
import { viewOf } from '../../support/views.ts'

interface Config {
  readonly name: string
  readonly filter_subjects?: readonly string[]
  readonly deliver_policy: string
  readonly opt_start_seq?: number
  readonly opt_start_time?: string
}

interface State {
  config: Config
  deliveredConsumer: number
  deliveredStream: number
  ackedConsumer: number
  ackedStream: number
  pending: number
}

/** A stream with its consumers, as far as the JetStream API shows them; what the server does not tell stays out. */
class FakeStream {
  created = '2026-01-01T00:00:00Z'
  last = 0
  readonly consumers = new Map<string, State>()
  readonly asked: string[] = []
  /** Throws once, after the action was done, for a subject that begins like this. */
  failAfter = ''

  readonly api: ApiRequest = async (subject, body) => {
    this.asked.push(subject)
    const answer = this.#answer(subject, body)
    if (this.failAfter !== '' && subject.startsWith(this.failAfter)) {
      this.failAfter = ''
      throw new Error('timeout')
    }
    return answer
  }

  get names(): string[] {
    return [...this.consumers.keys()]
  }

  state(name: string): State {
    const found = this.consumers.get(name)
    if (found === undefined) throw new ApiError('x', { err_code: 10_014, code: 404 })
    return found
  }

  add(name: string, state: Partial<State> = {}, config: Partial<Config> = {}): void {
    this.consumers.set(name, {
      config: { name, filter_subjects: ['a.>'], deliver_policy: 'all', ...config },
      deliveredConsumer: 0,
      deliveredStream: 0,
      ackedConsumer: 0,
      ackedStream: 0,
      pending: 0,
      ...state,
    })
  }

  /** Hands out the next messages; what the consumer's owner would read. */
  deliver(name: string, count = 1, before = `$JS.ACK.S.${name}.`) {
    const state = this.state(name)
    return Array.from({ length: count }, () => {
      state.deliveredConsumer++
      state.deliveredStream++
      state.pending++
      this.last = Math.max(this.last, state.deliveredStream)
      const { deliveredConsumer: consumer, deliveredStream: stream } = state
      return viewOf({ name: 'a.b', reply: `${before}1.${stream}.${consumer}.1700.0` })
    })
  }

  #answer(subject: string, body: object): Record<string, unknown> {
    const name = subject.split('.').at(-1) as string
    if (subject === 'STREAM.INFO.S')
      return { created: this.created, state: { last_seq: this.last } }
    if (subject.startsWith('CONSUMER.NAMES')) {
      const { offset } = body as { offset: number }
      const consumers = this.names.slice(offset, offset + 2)
      return { total: this.consumers.size, consumers: consumers.length === 0 ? null : consumers }
    }
    if (subject.startsWith('CONSUMER.DELETE')) {
      this.state(name)
      this.consumers.delete(name)
      return { success: true }
    }
    if (subject.startsWith('CONSUMER.CREATE')) this.#create((body as { config: Config }).config)
    const state = this.state(name)
    return {
      name,
      config: state.config,
      delivered: { consumer_seq: state.deliveredConsumer, stream_seq: state.deliveredStream },
      ack_floor: { consumer_seq: state.ackedConsumer, stream_seq: state.ackedStream },
      num_ack_pending: state.pending,
    }
  }

  #create(config: Config): void {
    if (this.consumers.has(config.name)) throw new ApiError('x', { err_code: 10_148, code: 400 })
    const begins = config.deliver_policy === 'by_start_time' ? this.last : 0
    const deliveredStream = config.opt_start_seq === undefined ? begins : config.opt_start_seq - 1
    this.add(config.name, { deliveredStream }, config)
  }
}

const PLAN: ConsumerPlan = {
  stream: 'S',
  route: 0,
  name: 'C',
  filters: ['a.>'],
  startAt: 'new',
} as ConsumerPlan

function consumer(plan: Partial<ConsumerPlan> = {}): DurableConsumer {
  return new DurableConsumer(3, { ...PLAN, ...plan })
}

async function inStep(stream: FakeStream, plan: Partial<ConsumerPlan> = {}) {
  const one = consumer(plan)
  await one.synchronize(stream.api)
  return one
}

function take(one: DurableConsumer, views: ReturnType<FakeStream['deliver']>) {
  return views.map((view) => ({ ...one.number(view) }))
}

describe('a durable consumer made for the first time', () => {
  test.each([
    ['new', { deliver_policy: 'by_start_sequence', opt_start_seq: 41 }],
    ['all', { deliver_policy: 'by_start_sequence', opt_start_seq: 1 }],
    [{ sequence: 7 }, { deliver_policy: 'by_start_sequence', opt_start_seq: 7 }],
    [
      { time: '2026-02-03T00:00:00Z' },
      { deliver_policy: 'by_start_time', opt_start_time: '2026-02-03T00:00:00Z' },
    ],
  ] as const)('with startAt %j begins there', async (startAt, expected) => {
    const stream = new FakeStream()
    stream.last = 40
    const one = await inStep(stream, { startAt } as Partial<ConsumerPlan>)
    expect(stream.state('C_1').config).toMatchObject({
      ...expected,
      durable_name: 'C_1',
      ack_policy: 'all',
      max_deliver: -1,
      filter_subjects: ['a.>'],
    })
    expect([one.ready, one.name]).toEqual([true, 'C_1'])
  })

  test('keeps its start when the end of the process comes before the first acknowledgement', async () => {
    for (const startAt of ['new', { sequence: 30 }, { time: '2026-02-03T00:00:00Z' }] as const) {
      const stream = new FakeStream()
      stream.last = 40
      await inStep(stream, { startAt } as Partial<ConsumerPlan>)
      const { config } = stream.state('C_1')
      stream.deliver('C_1', 3)
      stream.last += 3
      await inStep(stream, { startAt } as Partial<ConsumerPlan>)
      expect(stream.names).toEqual(['C_2'])
      const { opt_start_seq, opt_start_time, deliver_policy } = stream.state('C_2').config
      expect({ opt_start_seq, opt_start_time, deliver_policy }).toEqual({
        opt_start_seq: config.opt_start_seq,
        opt_start_time: config.opt_start_time,
        deliver_policy: config.deliver_policy,
      })
    }
  })
})

describe('a durable consumer found at start', () => {
  test('is adopted when its last owner ended clean', async () => {
    const stream = new FakeStream()
    stream.last = 10
    stream.add('C_4', {
      deliveredConsumer: 9,
      deliveredStream: 10,
      ackedConsumer: 9,
      ackedStream: 10,
    })
    const one = await inStep(stream)
    expect(stream.names).toEqual(['C_4'])
    expect(take(one, stream.deliver('C_4', 2))).toMatchObject([
      { consumer: 3, epoch: 1, streamSequence: 11, consumerSequence: 10, repeated: false },
      { streamSequence: 12, consumerSequence: 11 },
    ])
  })

  test('is made anew behind its floor when its last owner ended unclean', async () => {
    const stream = new FakeStream()
    stream.last = 20
    stream.add('C_4', {
      deliveredConsumer: 9,
      deliveredStream: 20,
      ackedConsumer: 5,
      ackedStream: 12,
      pending: 4,
    })
    const one = await inStep(stream)
    expect(stream.names).toEqual(['C_5'])
    expect(stream.state('C_5').config.opt_start_seq).toBe(13)
    const created = stream.asked.findIndex((subject) => subject.includes('CREATE'))
    expect(stream.asked.findIndex((subject) => subject.includes('DELETE'))).toBeGreaterThan(created)
    expect(take(one, stream.deliver('C_5'))).toMatchObject([
      { streamSequence: 13, repeated: false },
    ])
  })

  test('counts with its higher number when a crash left two', async () => {
    const stream = new FakeStream()
    stream.last = 20
    stream.add('C_9', { deliveredConsumer: 9, deliveredStream: 20, pending: 4, ackedStream: 12 })
    stream.add('C_10', { deliveredStream: 12 }, { opt_start_seq: 13 })
    stream.add('Cother_1')
    stream.add('C_x')
    const one = await inStep(stream)
    expect(one.name).toBe('C_10')
    expect(stream.names).toEqual(['C_10', 'Cother_1', 'C_x'])
  })

  test('that never handed anything out gives its place to one with other filters', async () => {
    const stream = new FakeStream()
    stream.last = 20
    stream.add('C_1', { deliveredStream: 20 }, { deliver_policy: 'new' })
    await inStep(stream, { filters: ['a.>', 'b'] })
    expect(stream.state('C_2').config).toMatchObject({
      filter_subjects: ['a.>', 'b'],
      opt_start_seq: 21,
    })
  })

  test('of an unknown beginning is made anew as the route says', async () => {
    const stream = new FakeStream()
    stream.last = 20
    stream.add('C_1', { deliveredConsumer: 2, deliveredStream: 20, pending: 2 }, {})
    await inStep(stream, { startAt: 'all' })
    expect(stream.state('C_2').config.opt_start_seq).toBe(1)
  })

  test('with one filter in the older form is the same', async () => {
    const stream = new FakeStream()
    stream.add('C_1', {}, { filter_subject: 'a.>', filter_subjects: undefined } as never)
    await inStep(stream)
    expect(stream.names).toEqual(['C_1'])
  })

  test('that is gone between two questions is made', async () => {
    const stream = new FakeStream()
    stream.add('C_6')
    const api: ApiRequest = async (subject, body) => {
      if (subject.startsWith('CONSUMER.INFO')) stream.consumers.clear()
      return stream.api(subject, body)
    }
    const one = consumer()
    await one.synchronize(api)
    expect(one.name).toBe('C_7')
  })
})

describe('a durable consumer in use', () => {
  test('takes nothing after a gap until it is in step again', async () => {
    const stream = new FakeStream()
    stream.last = 50
    const one = await inStep(stream)
    const [first, , third, fourth] = stream.deliver('C_1', 4)
    expect(one.number(first as never)).toBeDefined()
    expect(one.number(third as never)).toBeUndefined()
    expect(one.ready).toBe(false)
    expect(one.number(fourth as never)).toBeUndefined()
    await one.synchronize(stream.api)
    expect([one.name, one.epoch, one.ready]).toEqual(['C_2', 2, true])
    expect(take(one, stream.deliver('C_2', 3))).toMatchObject([
      { epoch: 2, streamSequence: 51, consumerSequence: 1, repeated: true },
      { streamSequence: 52, repeated: false },
      { streamSequence: 53, repeated: false },
    ])
  })

  test('goes on after a reconnect that swallowed nothing, and repeats its acknowledgement', async () => {
    const stream = new FakeStream()
    const one = await inStep(stream)
    take(one, stream.deliver('C_1', 2))
    stream.last = 2
    one.ready = false
    expect(one.settle(1, 1, 1)).toBe('PUB $JS.ACK.S.C_1.1.1.1.0.0 4\r\n+ACK\r\n')
    await one.synchronize(stream.api)
    expect([one.name, one.epoch]).toEqual(['C_1', 1])
    expect(one.acknowledgement()).toBe('PUB $JS.ACK.S.C_1.1.1.1.0.0 4\r\n+ACK\r\n')
    expect(take(one, stream.deliver('C_1'))).toMatchObject([{ streamSequence: 3, repeated: false }])
  })

  test('is made anew behind what is settled by now after a reconnect that swallowed something', async () => {
    const stream = new FakeStream()
    const one = await inStep(stream)
    take(one, stream.deliver('C_1', 4))
    stream.deliver('C_1')
    stream.last = 5
    one.settle(1, 2, 2)
    await one.synchronize(stream.api)
    expect(stream.state('C_2').config.opt_start_seq).toBe(3)
    // what the window still holds of the old one settles no number of the new one
    expect(one.settle(1, 4, 4)).toBeUndefined()
    expect(one.acknowledgement()).toBeUndefined()
    expect(take(one, stream.deliver('C_2', 3)).map(({ repeated }) => repeated)).toEqual([
      true,
      true,
      false,
    ])
    expect(one.settle(2, 5, 3)).toBe('PUB $JS.ACK.S.C_2.1.5.3.0.0 4\r\n+ACK\r\n')
  })

  test('leaves alone what a deleted one sent that comes in late', async () => {
    const stream = new FakeStream()
    const one = await inStep(stream)
    const late = stream.deliver('C_1', 3)
    one.number(late[0] as never)
    one.number(late[2] as never)
    stream.last = 3
    await one.synchronize(stream.api)
    expect(one.name).toBe('C_2')
    expect(one.number(late[1] as never)).toBeUndefined()
    expect(one.ready).toBe(true)
    const [first, second] = stream.deliver('C_2', 2)
    expect(one.number(first as never)).toMatchObject({ consumerSequence: 1 })
    expect(one.number(late[1] as never)).toBeUndefined()
    expect(one.ready).toBe(true)
    expect(one.number(second as never)).toMatchObject({ consumerSequence: 2 })
    expect(one.settle(2, 2, 2)).toContain('$JS.ACK.S.C_2.')
  })

  test.each([
    ['$JS.ACK.S.C_1.', '1.1.1.1700.0', '$JS.ACK.S.C_1.1.1.1.0.0'],
    ['$JS.ACK._.hash.S.C_1.', '1.1.1.1700.0', '$JS.ACK._.hash.S.C_1.1.1.1.0.0'],
    ['$JS.ACK.dom.hash.S.C_1.', '1.1.1.1700.0.random', '$JS.ACK.dom.hash.S.C_1.1.1.1.0.0'],
  ])('answers replies of the form %s%s', async (before, after, expected) => {
    const stream = new FakeStream()
    const one = await inStep(stream)
    expect(one.number(viewOf({ name: 'a', reply: `${before}${after}` }))).toMatchObject({
      streamSequence: 1,
      consumerSequence: 1,
    })
    expect(one.settle(1, 1, 1)).toBe(`PUB ${expected} 4\r\n+ACK\r\n`)
  })

  test('takes no reply that is cut short', async () => {
    const stream = new FakeStream()
    const one = await inStep(stream)
    expect(one.number(viewOf({ name: 'a', reply: 'x' }))).toBeUndefined()
    expect(one.ready).toBe(true)
    expect(
      one.number(viewOf({ name: 'a', reply: '$JS.ACK.S.C_1.1.1', payload: '.1.2' })),
    ).toBeUndefined()
    expect(one.ready).toBe(false)
  })

  test('reads a stream that was made anew from its beginning, and forgets the old numbers', async () => {
    const stream = new FakeStream()
    stream.last = 500
    const one = await inStep(stream)
    take(one, stream.deliver('C_1', 3))
    stream.consumers.clear()
    stream.created = '2026-05-05T00:00:00Z'
    stream.last = 2
    await one.synchronize(stream.api)
    expect(stream.state(one.name).config.opt_start_seq).toBe(1)
    expect(one.settle(1, 503, 3)).toBeUndefined()
    expect(take(one, stream.deliver(one.name, 2))).toMatchObject([
      { streamSequence: 1, repeated: false },
      { streamSequence: 2, repeated: false },
    ])
    await one.synchronize(stream.api)
    expect(one.settle(one.epoch, 1, 1)).toContain('.1.1.1.0.0 ')
  })

  test('goes on behind the end of a stream that lost its last messages', async () => {
    const stream = new FakeStream()
    stream.last = 503
    const one = await inStep(stream, { startAt: { sequence: 500 } } as Partial<ConsumerPlan>)
    take(one, stream.deliver('C_1', 4))
    one.settle(1, 503, 4)
    stream.last = 501
    await one.synchronize(stream.api)
    expect(stream.names).toEqual(['C_2'])
    expect(stream.state('C_2').config.opt_start_seq).toBe(502)
    expect(take(one, stream.deliver('C_2'))).toMatchObject([{ repeated: false }])
  })

  test('may wait for a sequence the stream has not reached', async () => {
    const stream = new FakeStream()
    stream.last = 3
    const one = await inStep(stream, { startAt: { sequence: 500 } } as Partial<ConsumerPlan>)
    await one.synchronize(stream.api)
    expect(stream.names).toEqual(['C_1'])
  })

  test('recovers when an answer of the API is lost', async () => {
    for (const step of ['STREAM.INFO', 'CONSUMER.NAMES', 'CONSUMER.CREATE', 'CONSUMER.DELETE']) {
      const stream = new FakeStream()
      stream.last = 20
      stream.add('C_4', {
        deliveredConsumer: 9,
        deliveredStream: 20,
        ackedConsumer: 5,
        ackedStream: 12,
        pending: 4,
      })
      stream.failAfter = step
      const one = consumer()
      await expect(one.synchronize(stream.api)).rejects.toThrow('timeout')
      expect(one.ready).toBe(false)
      await one.synchronize(stream.api)
      expect(stream.names).toEqual([one.name])
      expect(stream.state(one.name).config.opt_start_seq).toBe(13)
    }
  })

  test('passes on what the API reports', async () => {
    const stream = new FakeStream()
    const failing = (part: string): ApiRequest => {
      return async (subject, body) => {
        if (subject.includes(part)) throw new ApiError(subject, { err_code: 1 })
        return stream.api(subject, body)
      }
    }
    stream.add('C_1')
    stream.add('C_2')
    await expect(consumer().synchronize(failing('INFO.S.C'))).rejects.toThrow(ApiError)
    await expect(consumer().synchronize(failing('DELETE'))).rejects.toThrow(ApiError)
  })

  test('asks for more under its name, and counts what it asked for', async () => {
    const stream = new FakeStream()
    const one = await inStep(stream)
    one.inbox = '_INBOX.c.1'
    const command = one.pull(5, 1_000)
    const body = '{"batch":5,"expires":20000000000,"max_bytes":1000}'
    expect(command).toBe(
      `PUB $JS.API.CONSUMER.MSG.NEXT.S.C_1 _INBOX.c.1 ${body.length}\r\n${body}\r\n`,
    )
    take(one, stream.deliver('C_1', 2))
    expect(one.asked).toBe(3)
    one.pull(2, 1)
    expect(one.asked).toBe(5)
    await one.synchronize(stream.api)
    expect(one.asked).toBe(0)
  })
})

describe('the name of a durable consumer', () => {
  test('tells bridge and route, keeps to what NATS allows, and stays distinct', () => {
    expect(consumerName('bridge', 'r-1')).toBe('MQTTNATS_bridge_r-1')
    const names = ['a.b', 'a b', 'a*b', 'a-b'].map((route) => consumerName('x', route))
    expect(new Set(names).size).toBe(4)
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]+$/)
    expect(consumerName('x', 'y'.repeat(500)).length).toBeLessThan(130)
  })

  test('ends in a number', () => {
    const found = ['C_1', 'C_042', 'C', 'C_', 'C_1x', 'D_1', 'C_1_2'].map((n) =>
      generationOf(n, 'C'),
    )
    expect(found).toEqual([1, 42, -1, -1, -1, -1, -1])
  })
})
