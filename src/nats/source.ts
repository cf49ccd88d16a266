import { toBridgeError } from '../core/errors.ts'
import type { NatsInlet } from '../core/lanes.ts'
import type { MessageView } from '../core/message-view.ts'
import type { Clock, Logger } from '../core/ports.ts'
import {
  type ConsumerPlan,
  DurableConsumer,
  isDelivery,
  keyOf,
  PULL_EXPIRES_MS,
} from './consumer.ts'
import type { NatsHandler } from './handler.ts'
import { type HeaderReader, headerOf, isOrdinaryEnd, statusOf } from './headers.ts'
import { readDenial } from './quoted.ts'
import { type NatsSink, readAnswer } from './sink.ts'
import type { ApiRequest } from './streams.ts'
import { FIRST_SID, type NatsTap, type NatsTapHost } from './tap.ts'

export interface NatsSourceDeps {
  readonly sink: NatsSink
  readonly headers: HeaderReader
  readonly api: ApiRequest
  readonly clock: Clock
  readonly logger: Logger
  /** Subject prefix of our own for what consumers send, without the last dot. */
  readonly inbox: string
  readonly windowBytes: number
  readonly handler: NatsHandler
  /** A stream was made, changed or deleted. */
  readonly onStreamsChanged: () => void
}

/** Our subscription numbers: the answers, then one per wildcard, then news of the streams, then one per consumer. */
const ANSWERS = 0
const NEWS = 9_999
const FIRST_CONSUMER = 10_000
const SYNC_AGAIN_MS = 1_000
/** What JetStream says of its streams: `$JS.EVENT.ADVISORY.STREAM.<action>.<stream>`. */
const STREAM_NEWS = '$JS.EVENT.ADVISORY.STREAM.*.*'
/** Replies of the JetStream API are not held to max_payload, bytes. */
const LARGE_REPLY = 8 * 1024 * 1024

/**
 * The reading end of the NATS connection: subscriptions of the routes, the answers to what the sink
 * published, and the durable consumers.
 */
export class NatsSource implements NatsInlet, NatsTapHost {
  readonly #deps: NatsSourceDeps
  #tap: NatsTap | undefined
  /** Wildcards by index; `undefined` where a stream brings everything the wildcard would. */
  #wildcards: readonly (string | undefined)[] = []
  #consumers: DurableConsumer[] = []
  /** Never given twice: what is still in a window names its consumer by it. */
  #nextIndex = 0
  /** Grows with each attempt to synchronize, and names the inbox of what is asked for after it. */
  #inboxes = 0
  /** Consumers being synchronized, and those that wait to be. */
  readonly #syncing = new Set<DurableConsumer>()
  /** Why consumers are not in step, by name. */
  readonly #trouble = new Map<DurableConsumer, string>()
  /** Subjects the user may not subscribe to. */
  readonly #denied = new Set<string>()

  constructor(deps: NatsSourceDeps) {
    this.#deps = deps
  }

  /** A new connection took the place of the old one; `undefined` when there is none. */
  attach(tap: NatsTap | undefined): void {
    this.#tap = tap
    for (const consumer of this.#consumers) consumer.ready = false
    this.#denied.clear()
    if (tap === undefined) return
    const lines = [subscribe(this.#deps.sink.answers, ANSWERS), subscribe(STREAM_NEWS, NEWS)]
    this.#wildcards.forEach((wildcard, index) => {
      if (wildcard !== undefined) lines.push(subscribe(wildcard, index + 1))
    })
    tap.write(Buffer.from(lines.join('')))
    for (const consumer of this.#consumers) this.#synchronize(consumer)
  }

  /** Sets what to listen to; only differences are written. */
  subscribe(wildcards: readonly (string | undefined)[]): void {
    const before = this.#wildcards
    this.#wildcards = wildcards
    const count = Math.max(before.length, wildcards.length)
    for (let index = 0; index < count; index++) {
      if (before[index] === wildcards[index]) continue
      const wildcard = wildcards[index]
      if (before[index] !== undefined) this.#write(`UNSUB ${FIRST_SID + index + 1}\r\n`)
      if (wildcard !== undefined) this.#write(subscribe(wildcard, index + 1))
    }
  }

  /** Sets the streams to read; a consumer that stays keeps its place. */
  consume(plans: readonly ConsumerPlan[]): void {
    const kept = new Map(this.#consumers.map((consumer) => [keyOf(consumer.plan), consumer]))
    const wanted = new Set(plans.map(keyOf))
    for (const consumer of this.#consumers) {
      if (wanted.has(keyOf(consumer.plan))) continue
      this.#write(`UNSUB ${sidOf(consumer)}\r\n`)
      this.#trouble.delete(consumer)
      consumer.ready = false
    }
    const added: DurableConsumer[] = []
    this.#consumers = plans.map((plan) => {
      const old = kept.get(keyOf(plan))
      if (old !== undefined) return old
      const fresh = new DurableConsumer(this.#nextIndex++, plan)
      added.push(fresh)
      return fresh
    })
    if (this.#tap !== undefined)
      added.forEach((consumer) => {
        this.#synchronize(consumer)
      })
  }

  /** Routes' wildcards that the server sends us, and streams that we read; looked up once a second. */
  get subscriptions(): number {
    if (this.#tap === undefined) return 0
    const live = this.#wildcards.filter((one) => one !== undefined && !this.#denied.has(one))
    return live.length + this.#consumers.filter(({ ready }) => ready).length
  }

  get consumers(): readonly DurableConsumer[] {
    return this.#consumers
  }

  /** Why the side cannot deliver everything although connected. */
  get reasons(): string[] {
    return [
      ...[...this.#denied].map((subject) => `subscribing to '${subject}' is not permitted`),
      ...this.#consumers
        .filter(({ ready }) => !ready)
        .map((c) => this.#trouble.get(c) ?? `reading stream '${c.plan.stream}' is being set up`),
    ]
  }

  onMessage(subscription: number, view: MessageView): void {
    const { handler, sink, headers } = this.#deps
    if (subscription === ANSWERS) handler.onAnswer(sink.slotOf(view), readAnswer(view))
    else if (subscription === NEWS) this.#deps.onStreamsChanged()
    else if (subscription < NEWS) {
      if (isDelivery(view)) return
      headers.read(view)
      handler.onLive(view, subscription)
    } else this.#onConsumer(subscription - FIRST_CONSUMER, view)
  }

  onServerError(text: string): void {
    const denial = readDenial(text)
    if (denial === undefined) return
    if (denial.publish) this.#deps.handler.onDenied(denial.subject)
    // without news the streams are looked at now and then
    else if (denial.subject !== STREAM_NEWS) this.#denied.add(denial.subject)
  }

  onBatchEnd(): void {
    this.#deps.handler.onBatchEnd()
  }

  onPong(position: number): void {
    this.#deps.handler.onPong(position)
  }

  onDrain(): void {
    this.#deps.handler.onDrain()
  }

  maxMessage(): number {
    return Math.max(this.#deps.sink.serverMaxPayload, LARGE_REPLY) + 64 * 1024
  }

  settled(index: number, epoch: number, stream: number, sequence: number): void {
    const consumer = this.#consumers.find((one) => one.index === index)
    const ack = consumer?.settle(epoch, stream, sequence)
    if (ack !== undefined && consumer?.ready === true) this.#write(ack)
  }

  refill(): void {
    if (this.#tap === undefined || this.#consumers.length === 0) return
    const share = this.#consumers.length
    let room = this.#deps.handler.room()
    for (const consumer of this.#consumers) room -= consumer.asked
    for (const consumer of this.#consumers) {
      const most = Math.ceil((room + consumer.asked) / share)
      const batch = Math.min(room, most - consumer.asked)
      // in halves: neither a request per message nor a pause between two
      if (!consumer.ready || batch < 1 || consumer.asked > most / 2) continue
      room -= batch
      consumer.heardAt = this.#deps.clock.monotonic()
      const bytes = Math.max(
        this.#deps.sink.serverMaxPayload + 64 * 1024,
        Math.floor(this.#deps.windowBytes / 2 / share),
      )
      this.#write(consumer.pull(batch, bytes))
    }
  }

  hold(on: boolean): void {
    if (on) this.#tap?.pause()
    else this.#tap?.unpause()
  }

  /** Looks for pulls the server forgot; call about once a second. */
  tick(): void {
    const now = this.#deps.clock.monotonic()
    for (const consumer of this.#consumers) {
      const silent = now - consumer.heardAt > PULL_EXPIRES_MS + 5_000
      if (consumer.ready && consumer.asked > 0 && silent) this.#synchronize(consumer)
    }
    this.refill()
  }

  #onConsumer(index: number, view: MessageView): void {
    const consumer = this.#consumers.find((one) => one.index === index)
    if (consumer === undefined) return
    consumer.heardAt = this.#deps.clock.monotonic()
    if (view.replyEnd === view.replyStart) {
      this.#onStatus(consumer, view)
      return
    }
    const wasReady = consumer.ready
    const position = consumer.number(view)
    if (position === undefined) {
      if (wasReady && !consumer.ready) this.#synchronize(consumer)
      return
    }
    this.#deps.headers.read(view)
    this.#deps.handler.onStream(view, position, consumer.plan.route)
  }

  /** The end of a pull. The stream may be gone with its consumer, and a server does not always tell. */
  #onStatus(consumer: DurableConsumer, view: MessageView): void {
    const status = statusOf(view)
    if (status === 0 || status === 100) return
    const left = Number(headerOf(view, 'Nats-Pending-Messages') ?? consumer.asked)
    consumer.asked = Math.max(0, consumer.asked - left)
    if (isOrdinaryEnd(view)) return
    this.#deps.onStreamsChanged()
    this.#synchronize(consumer)
  }

  #synchronize(consumer: DurableConsumer): void {
    consumer.ready = false
    if (this.#syncing.has(consumer) || !this.#consumers.includes(consumer)) return
    this.#syncing.add(consumer)
    const tap = this.#tap
    this.#subscribeConsumer(consumer)
    consumer
      .synchronize(this.#deps.api)
      .then(() => this.#trouble.delete(consumer))
      .catch((error: unknown) => {
        consumer.ready = false
        const failure = toBridgeError(error, 'NATS_CONSUMER')
        this.#trouble.set(consumer, `${failure.message} (${failure.code})`)
        if (this.#tap !== undefined && this.#tap === tap) {
          this.#deps.logger.failure(failure, 'consumer not in step')
        }
      })
      .finally(() => this.#synchronized(consumer, tap))
      .catch((error: unknown) =>
        this.#deps.logger.failure(toBridgeError(error), 'consumer failed', 'error'),
      )
  }

  #synchronized(consumer: DurableConsumer, tap: NatsTap | undefined): void {
    this.#syncing.delete(consumer)
    if (this.#tap === undefined || !this.#consumers.includes(consumer)) return
    if (this.#tap !== tap) this.#synchronize(consumer)
    else if (consumer.ready) {
      const ack = consumer.acknowledgement()
      if (ack !== undefined) this.#write(ack)
      this.refill()
    } else {
      this.#deps.clock.after(SYNC_AGAIN_MS, () => {
        if (this.#tap === tap && !consumer.ready) this.#synchronize(consumer)
      })
    }
  }

  /** A new inbox each time: what was asked for through the old one would come on top of what is asked for next. */
  #subscribeConsumer(consumer: DurableConsumer): void {
    consumer.inbox = `${this.#deps.inbox}.${this.#inboxes++}`
    this.#write(`UNSUB ${sidOf(consumer)}\r\nSUB ${consumer.inbox} ${sidOf(consumer)}\r\n`)
  }

  #write(command: string): void {
    this.#tap?.write(Buffer.from(command))
  }
}

function subscribe(wildcard: string, subscription: number): string {
  return `SUB ${wildcard} ${FIRST_SID + subscription}\r\n`
}

function sidOf(consumer: DurableConsumer): number {
  return FIRST_SID + FIRST_CONSUMER + consumer.index
}
