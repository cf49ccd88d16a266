import { createHash } from 'node:crypto'
import type { RouteConfig } from '../core/config.ts'
import type { StreamPosition } from '../core/lanes.ts'
import type { MessageView } from '../core/message-view.ts'
import { digits } from './frames.ts'
import { ApiError, type ApiRequest } from './streams.ts'

export interface ConsumerPlan {
  readonly stream: string
  /** Index of the route in the configuration. */
  readonly route: number
  /** Beginning of the consumer's name; a number that grows with each re-creation follows. */
  readonly name: string
  readonly filters: readonly string[]
  readonly startAt: RouteConfig['startAt']
}

/** Above any window, so that the window alone decides. */
const MAX_ACK_PENDING = 65_536

/** Long enough that nothing is delivered twice while the broker is merely slow, nanoseconds. */
const ACK_WAIT_NS = 60e9
const CONSUMER_NOT_FOUND = 10_014

interface ConsumerInfo {
  readonly name: string
  readonly config: { filter_subject?: string; filter_subjects?: string[] }
  readonly delivered: { consumer_seq: number; stream_seq: number }
  readonly ack_floor: { consumer_seq: number; stream_seq: number }
  readonly num_ack_pending: number
}

/**
 * Our place in one stream: a durable pull consumer with ack-all, read strictly in order.
 *
 * A plain durable consumer hands out later messages before the unacknowledged ones of a connection or
 * process that broke off: order would be lost. So whenever deliveries may have been lost on the way (a
 * reconnect that swallowed some, a gap in the consumer's numbers, an unclean end of the process before) the
 * consumer is made anew under the next number, beginning behind the last message settled, and only then the
 * old one is deleted. Whichever step a crash falls on, the higher number is the one that counts.
 */
export class DurableConsumer {
  readonly plan: ConsumerPlan
  readonly index: number
  /** Name now in use. */
  name = ''
  /** Grows when the consumer is made anew: acknowledgements of the old one are void. */
  epoch = 0
  /** In step with the server: deliveries are taken. */
  ready = false
  /** Messages asked for and not yet delivered. */
  asked = 0
  /** Last delivery or status, monotonic milliseconds. */
  heardAt = 0
  #generation = 0
  /** Highest stream sequence taken. */
  #last = 0
  /** Highest stream sequence up to which everything is settled; -1 = not known yet. */
  #settled = -1
  #settledConsumerSequence = 0
  #expected = 0
  /** Length of the reply subject before the delivery count; 0 = not seen yet in this epoch. */
  #prefix = 0
  #ackPrefix = ''
  /** Reused for every delivery. */
  readonly #position

  constructor(index: number, plan: ConsumerPlan) {
    this.#position = {
      consumer: index,
      epoch: 0,
      streamSequence: 0,
      consumerSequence: 0,
      repeated: false,
    }
    this.index = index
    this.plan = plan
  }

  /** Brings the consumer and our place in it into step; call on every new connection, and after a gap. */
  async synchronize(api: ApiRequest): Promise<void> {
    this.ready = false
    this.asked = 0
    const names = await this.#existing(api)
    const newest = names.at(-1)
    const info = newest === undefined ? undefined : await this.#info(api, newest.name)
    if (newest === undefined || info === undefined) await this.#create(api, newest?.generation ?? 0)
    else if (this.#inStep(info, newest.name)) this.#adopt(info, newest.generation)
    else {
      if (this.#settled < 0) this.#settled = info.ack_floor.stream_seq
      await this.#create(api, newest.generation)
    }
    for (const { name } of names) {
      if (name !== this.name) await this.#remove(api, name)
    }
    this.ready = true
  }

  /**
   * Numbers a delivery; valid until the next one. `undefined` when it is not the next one: deliveries were lost, and
   * {@link synchronize} is due.
   */
  number(view: MessageView): StreamPosition | undefined {
    if (!this.ready) return undefined
    const { buffer, replyEnd } = view
    if (this.#prefix === 0) this.#learnReply(view)
    const counted = buffer.indexOf(DOT, view.replyStart + this.#prefix)
    const stream = buffer.indexOf(DOT, counted + 1)
    const consumer = buffer.indexOf(DOT, stream + 1)
    if (consumer < 0 || consumer > replyEnd) return undefined
    const streamSequence = digits(buffer, counted + 1, stream)
    const consumerSequence = digits(buffer, stream + 1, consumer)
    if (consumerSequence !== this.#expected) {
      this.ready = false
      return undefined
    }
    this.#expected++
    this.asked = Math.max(0, this.asked - 1)
    const repeated = streamSequence <= this.#last
    if (!repeated) this.#last = streamSequence
    const position = this.#position
    position.epoch = this.epoch
    position.streamSequence = streamSequence
    position.consumerSequence = consumerSequence
    position.repeated = repeated
    return position
  }

  /** Notes that everything up to here is settled; returns the acknowledgement to publish, if one is due. */
  settle(epoch: number, streamSequence: number, consumerSequence: number): string | undefined {
    if (streamSequence > this.#settled) this.#settled = streamSequence
    if (epoch !== this.epoch) return undefined
    this.#settledConsumerSequence = consumerSequence
    return this.acknowledgement()
  }

  /** The acknowledgement of everything settled so far, also of what was settled while there was no connection. */
  acknowledgement(): string | undefined {
    if (this.#settledConsumerSequence === 0 || this.#ackPrefix === '') return undefined
    const subject = `${this.#ackPrefix}1.${this.#settled}.${this.#settledConsumerSequence}.0.0`
    return `PUB ${subject} 4\r\n+ACK\r\n`
  }

  /** The command that asks for more; answers come to `inbox`. */
  pull(inbox: string, batch: number, maxBytes: number): string {
    this.asked += batch
    const body = JSON.stringify({ batch, expires: PULL_EXPIRES_MS * 1e6, max_bytes: maxBytes })
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.plan.stream}.${this.name}`
    return `PUB ${subject} ${inbox} ${body.length}\r\n${body}\r\n`
  }

  async #existing(api: ApiRequest): Promise<{ name: string; generation: number }[]> {
    const found: { name: string; generation: number }[] = []
    for (let offset = 0; ; ) {
      const page = await api(`CONSUMER.NAMES.${this.plan.stream}`, { offset })
      const names = (page['consumers'] as string[] | null) ?? []
      for (const name of names) {
        const generation = generationOf(name, this.plan.name)
        if (generation >= 0) found.push({ name, generation })
      }
      offset += names.length
      if (names.length === 0 || offset >= Number(page['total'] ?? 0)) break
    }
    return found.sort((a, b) => a.generation - b.generation)
  }

  async #info(api: ApiRequest, name: string): Promise<ConsumerInfo | undefined> {
    try {
      return (await api(`CONSUMER.INFO.${this.plan.stream}.${name}`, {})) as unknown as ConsumerInfo
    } catch (error) {
      if (error instanceof ApiError && error.number === CONSUMER_NOT_FOUND) return undefined
      throw error
    }
  }

  /** Nothing is on its way that we do not have, and it hands out what this route wants. */
  #inStep(info: ConsumerInfo, name: string): boolean {
    const filters = info.config.filter_subjects ?? [info.config.filter_subject ?? '']
    if (filters.join(' ') !== this.plan.filters.join(' ')) return false
    if (this.#settled < 0) return info.num_ack_pending === 0
    return name === this.name && info.delivered.consumer_seq === this.#expected - 1
  }

  #adopt(info: ConsumerInfo, generation: number): void {
    this.#generation = generation
    if (this.#settled < 0) this.#begin(info)
    this.name = info.name
  }

  async #create(api: ApiRequest, generation: number): Promise<void> {
    this.#generation = generation + 1
    const name = `${this.plan.name}_${this.#generation}`
    const created = await api(`CONSUMER.CREATE.${this.plan.stream}.${name}`, {
      stream_name: this.plan.stream,
      action: 'create',
      config: {
        name,
        durable_name: name,
        ack_policy: 'all',
        ack_wait: ACK_WAIT_NS,
        max_deliver: -1,
        max_ack_pending: MAX_ACK_PENDING,
        replay_policy: 'instant',
        filter_subjects: this.plan.filters,
        ...this.#begins(),
      },
    })
    this.#begin(created as unknown as ConsumerInfo)
    this.name = name
  }

  /** Where a consumer made now begins. */
  #begins(): object {
    if (this.#settled >= 0) {
      return { deliver_policy: 'by_start_sequence', opt_start_seq: this.#settled + 1 }
    }
    const { startAt } = this.plan
    if (startAt === 'new' || startAt === 'all') return { deliver_policy: startAt }
    if ('time' in startAt) return { deliver_policy: 'by_start_time', opt_start_time: startAt.time }
    return { deliver_policy: 'by_start_sequence', opt_start_seq: startAt.sequence }
  }

  #begin(info: ConsumerInfo): void {
    this.epoch++
    this.#prefix = 0
    this.#ackPrefix = ''
    this.#settledConsumerSequence = 0
    this.#expected = info.delivered.consumer_seq + 1
    if (this.#settled < 0) {
      this.#settled = info.ack_floor.stream_seq
      this.#last = info.delivered.stream_seq
    }
  }

  async #remove(api: ApiRequest, name: string): Promise<void> {
    try {
      await api(`CONSUMER.DELETE.${this.plan.stream}.${name}`, {})
    } catch (error) {
      if (!(error instanceof ApiError && error.number === CONSUMER_NOT_FOUND)) throw error
    }
  }

  /**
   * `$JS.ACK.stream.consumer.` and, from servers that name domain and account, two tokens more.
   * Source: nats-server server/consumer.go, ackReplyInfo.
   */
  #learnReply(view: MessageView): void {
    const reply = view.buffer.latin1Slice(view.replyStart, view.replyEnd)
    const tokens = reply.split('.')
    this.#ackPrefix = `${tokens.slice(0, tokens.length >= 11 ? 6 : 4).join('.')}.`
    this.#prefix = this.#ackPrefix.length
  }
}

const DOT = 46

/** An unanswered pull is over after this long, milliseconds; the server says so. */
export const PULL_EXPIRES_MS = 20_000

/** Beginning of a durable consumer's name; characters NATS forbids in names are replaced, and a digest tells such names apart. */
export function consumerName(bridge: string, route: string): string {
  const plain = `${bridge}_${route}`
  const name = plain.replace(/[^A-Za-z0-9_-]/g, '-')
  if (name === plain && name.length <= 100) return `MQTTNATS_${name}`
  const digest = createHash('sha256').update(plain).digest('hex').slice(0, 8)
  return `MQTTNATS_${name.slice(0, 100)}_${digest}`
}

function generationOf(name: string, base: string): number {
  if (!name.startsWith(`${base}_`)) return -1
  const number = name.slice(base.length + 1)
  return /^\d{1,9}$/.test(number) ? Number(number) : -1
}
