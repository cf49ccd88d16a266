import type { RouteConfig } from '../core/config.ts'
import type { StreamPosition } from '../core/lanes.ts'
import type { MessageView } from '../core/message-view.ts'
import {
  type ConsumerInfo,
  consumerInfo,
  generations,
  removeConsumer,
  streamPlace,
} from './consumer-api.ts'
import { digits } from './frames.ts'
import type { ApiRequest } from './streams.ts'

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
  /** Subject deliveries come to. */
  inbox = ''
  /** Grows when the consumer is made anew: acknowledgements of the old one are void. */
  epoch = 0
  /** In step with the server: deliveries are taken. */
  ready = false
  /** Messages asked for and not yet delivered. */
  asked = 0
  /** Last delivery or status, monotonic milliseconds. */
  heardAt = 0
  /** Highest stream sequence taken. */
  #last = 0
  /** Highest stream sequence up to which everything is settled; -1 = not known yet. */
  #settled = -1
  #settledConsumerSequence = 0
  #expected = 0
  /** Length of the reply subject before the delivery count; 0 = not seen yet in this epoch. */
  #prefix = 0
  #ackPrefix = ''
  /** What stands before the delivery count in replies of the consumer now in use. */
  #tail = Buffer.alloc(0)
  /** When the stream was made: another one of the same name has its own numbers. */
  #created = ''
  /** Epochs below this one read a stream that is gone. */
  #firstEpoch = 0
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
    const lastSequence = await this.#look(api)
    const { stream } = this.plan
    const names = await generations(api, stream, this.plan.name)
    const newest = names.at(-1)
    const info = newest === undefined ? undefined : await consumerInfo(api, stream, newest.name)
    if (newest === undefined || info === undefined) {
      await this.#create(api, newest?.generation ?? 0, this.#start(lastSequence))
    } else if (this.#inStep(info, newest.name)) this.#adopt(info)
    else await this.#create(api, newest.generation, this.#startBehind(info, lastSequence))
    for (const { name } of names) {
      if (name !== this.name) await removeConsumer(api, stream, name)
    }
    this.ready = true
  }

  /**
   * Numbers a delivery; valid until the next one. `undefined` when it is none of the consumer now in use, or
   * not the next one: then deliveries were lost, `ready` turns false, and {@link synchronize} is due.
   */
  number(view: MessageView): StreamPosition | undefined {
    if (!this.ready) return undefined
    const { buffer, replyEnd } = view
    if (this.#prefix === 0) this.#learnReply(view)
    if (!this.#isOurs(view)) return undefined
    const counted = buffer.indexOf(DOT, view.replyStart + this.#prefix)
    const stream = buffer.indexOf(DOT, counted + 1)
    const consumer = buffer.indexOf(DOT, stream + 1)
    const streamSequence = digits(buffer, counted + 1, stream)
    const consumerSequence = digits(buffer, stream + 1, consumer)
    if (consumer < 0 || consumer > replyEnd || consumerSequence !== this.#expected) {
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
    if (epoch >= this.#firstEpoch && streamSequence > this.#settled) this.#settled = streamSequence
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

  /** The command that asks for more; what is delivered comes to {@link inbox}. */
  pull(batch: number, maxBytes: number): string {
    this.asked += batch
    const body = JSON.stringify({ batch, expires: PULL_EXPIRES_MS * 1e6, max_bytes: maxBytes })
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.plan.stream}.${this.name}`
    return `PUB ${subject} ${this.inbox} ${body.length}\r\n${body}\r\n`
  }

  /** Nothing is on its way that we do not have, and it hands out what this route wants. */
  #inStep(info: ConsumerInfo, name: string): boolean {
    const filters = info.config.filter_subjects ?? [info.config.filter_subject ?? '']
    if (filters.join(' ') !== this.plan.filters.join(' ')) return false
    if (this.#settled < 0) return info.num_ack_pending === 0
    return name === this.name && info.delivered.consumer_seq === this.#expected - 1
  }

  #adopt(info: ConsumerInfo): void {
    if (this.#settled < 0) this.#begin(info)
  }

  /** @param generation of the consumer before it */
  async #create(api: ApiRequest, generation: number, start: object): Promise<void> {
    const name = `${this.plan.name}_${generation + 1}`
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
        ...start,
      },
    })
    this.#begin(created as unknown as ConsumerInfo)
  }

  /** Sequence of the stream's last message. A stream that was made anew is read from its beginning. */
  async #look(api: ApiRequest): Promise<number> {
    const { created, lastSequence } = await streamPlace(api, this.plan.stream)
    const another = this.#created !== '' && created !== this.#created
    this.#created = created
    if (this.#settled >= 0 && (another || lastSequence < this.#last)) {
      // of the same stream that lost its end, what was in it is here already
      this.#last = another ? 0 : lastSequence
      this.#settled = Math.min(this.#settled, this.#last)
      this.#firstEpoch = this.epoch + 1
      this.name = ''
    }
    return lastSequence
  }

  /** Where a consumer made now begins; as a sequence where possible, so that its configuration tells it later. */
  #start(lastSequence: number): object {
    if (this.#settled >= 0) return behind(this.#settled)
    const { startAt } = this.plan
    if (startAt === 'new') return behind(lastSequence)
    if (startAt === 'all') return behind(0)
    if ('time' in startAt) return { deliver_policy: 'by_start_time', opt_start_time: startAt.time }
    return behind(Math.max(0, startAt.sequence - 1))
  }

  /** Where a consumer begins that takes over from another: the floor of one never acknowledged is 0, wherever it began. */
  #startBehind(old: ConsumerInfo, lastSequence: number): object {
    const { opt_start_seq: sequence, opt_start_time: time, deliver_policy: policy } = old.config
    if (this.#settled < 0) {
      if (old.ack_floor.consumer_seq > 0) this.#settled = old.ack_floor.stream_seq
      else if (old.delivered.consumer_seq === 0) this.#settled = old.delivered.stream_seq
      else if (sequence !== undefined) this.#settled = sequence - 1
      else if (policy === 'by_start_time') return { deliver_policy: policy, opt_start_time: time }
    }
    return this.#start(lastSequence)
  }

  #begin(info: ConsumerInfo): void {
    this.name = info.name
    this.#tail = Buffer.from(`${this.name.slice(this.name.lastIndexOf('_'))}.`)
    this.epoch++
    this.#prefix = 0
    this.#ackPrefix = ''
    this.#settledConsumerSequence = 0
    this.#expected = info.delivered.consumer_seq + 1
    if (this.#settled < 0) this.#settled = info.delivered.stream_seq
  }

  /**
   * `$JS.ACK.stream.consumer.` and, from servers that name domain and account, two tokens more.
   * Source: nats-server server/consumer.go, ackReplyInfo.
   */
  #learnReply(view: MessageView): void {
    const reply = view.buffer.latin1Slice(view.replyStart, view.replyEnd)
    const tokens = reply.split('.')
    const before = tokens.length >= 11 ? 6 : 4
    if (tokens[before - 1] !== this.name) return
    this.#ackPrefix = `${tokens.slice(0, before).join('.')}.`
    this.#prefix = this.#ackPrefix.length
  }

  /** What a consumer sent that is deleted by now may still come in; names differ in their last number only. */
  #isOurs(view: MessageView): boolean {
    const tail = this.#tail
    const from = view.replyStart + this.#prefix - tail.length
    if (this.#prefix === 0 || view.replyStart + this.#prefix > view.replyEnd) return false
    for (let i = tail.length - 1; i >= 0; i--) if (view.buffer[from + i] !== tail[i]) return false
    return true
  }
}

const DOT = 46

/** An unanswered pull is over after this long, milliseconds; the server says so. */
export const PULL_EXPIRES_MS = 20_000

function behind(sequence: number): object {
  return { deliver_policy: 'by_start_sequence', opt_start_seq: sequence + 1 }
}

/**
 * A wildcard for everything also brings what consumers, anybody's, are sent: the subject is that of the message,
 * which was published, and seen, once already.
 */
export function isDelivery({ buffer, replyStart, replyEnd }: MessageView): boolean {
  return replyEnd > replyStart + 8 && buffer.latin1Slice(replyStart, replyStart + 8) === '$JS.ACK.'
}

/** Tells plans apart: with the same key a consumer keeps its place. */
export function keyOf(plan: ConsumerPlan): string {
  return JSON.stringify([plan.stream, plan.name, plan.filters])
}
