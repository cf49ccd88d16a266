import type { DropReason } from '../core/books.ts'
import type { StreamPosition } from '../core/lanes.ts'
import type { MessageView } from '../core/message-view.ts'
import type { FlowReport } from '../core/status.ts'
import { HoldTimes } from './hold-times.ts'
import { MqttWindow, type MqttWindowDeps } from './mqtt-window.ts'
import { Mode, type Plan, PlanCache } from './plans.ts'
import type { Tapped } from './tapped.ts'

const DOLLAR = 36
const UNDERSCORE = 95

/** How long reading from NATS is held for a full MQTT socket, milliseconds: a server cuts off who reads not at all. */
const LONGEST_HOLD = 2_000

export interface NatsToMqttDeps<Target> extends MqttWindowDeps<Target> {
  /** Decides what becomes of a subject; asked once per subject, then cached. */
  readonly planFor: (subject: string) => Plan<Target>
  /** Messages taken from streams, or waiting for the broker, and not settled. */
  readonly windowLimit: number
  /** Memory their frames may hold, bytes. */
  readonly windowBytes: number
}

/**
 * Carries messages from NATS to MQTT. What comes from a stream is fetched only as far as there is room, and
 * acknowledged to the stream when the broker has it. What comes live waits while there is room and is
 * dropped, and counted, when there is none.
 */
export class NatsToMqtt<Target> {
  readonly tracked: MqttWindow<Target>
  /** Set while somebody watches what is decided. */
  tapped: Tapped | undefined
  readonly #deps: NatsToMqttDeps<Target>
  readonly #plans = new PlanCache<Plan<Target>>()
  /** By first token; the mapping reserves a handful. */
  readonly #reserved = new Map<string, Plan<Target>>()
  readonly #held = new HoldTimes()
  #callOff: (() => void) | undefined
  #inBatch = false
  #wall = 0
  #draining = false

  constructor(deps: NatsToMqttDeps<Target>) {
    this.#deps = deps
    this.tracked = new MqttWindow(deps, deps.windowLimit, deps.windowBytes)
  }

  /** How many messages the consumers may fetch, all together, besides what they have asked for. */
  get room(): number {
    const { window } = this.tracked
    if (this.#draining || !this.#deps.outlet.up || window.bytes >= window.limitBytes) return 0
    return window.limit - window.size
  }

  /**
   * A message of a core subscription.
   * @param subscription its index + 1, as plans name their owner
   */
  onLive(view: MessageView, subscription: number): void {
    if (!this.#inBatch) this.#beginBatch()
    const plan = this.#plan(view)
    // copies for overlapping wildcards, and live copies of what a stream brings too
    if ((plan.owner !== 0 && plan.owner !== subscription) || plan.mode === Mode.durable) return
    // a wildcard for everything brings the traffic of NATS itself too, which is nobody's message
    if (plan.refusal === 'reserved') return
    if (this.tapped === undefined) this.#receiveLive(view, plan)
    else this.tapped(view, plan, () => this.#receiveLive(view, plan))
  }

  /**
   * A message of a durable consumer.
   * @param route the consumer's; a copy for another route is only acknowledged
   */
  onStream(view: MessageView, position: StreamPosition, route: number): void {
    if (!this.#inBatch) this.#beginBatch()
    const plan = this.#plan(view)
    if (plan.route !== route) this.tracked.takeDone(position)
    else if (this.tapped === undefined) this.#receiveStored(view, plan, position)
    else this.tapped(view, plan, () => this.#receiveStored(view, plan, position))
  }

  /** All messages of a NATS chunk were handed over. */
  onBatchEnd(): void {
    this.#inBatch = false
    const { outlet, inlet } = this.#deps
    if (outlet.frames.pending) outlet.frames.flush((bytes) => outlet.write(bytes))
    this.tracked.written()
    this.tracked.advance()
    inlet.refill()
    if (outlet.up && outlet.blocked) this.#hold()
  }

  /** The acknowledgements of an MQTT chunk were handed over. */
  onAcknowledgementsEnd(): void {
    if (this.tracked.advance()) this.#deps.inlet.refill()
  }

  /** @param allowed messages the broker lets us have unacknowledged: its Receive Maximum */
  onMqttUp(allowed: number): void {
    this.#plans.clear()
    this.tracked.onUp(allowed)
    this.#deps.inlet.refill()
  }

  onMqttDown(): void {
    this.tracked.onDown()
    this.#unhold()
  }

  /** The socket to MQTT took what was waiting. */
  onDrain(): void {
    this.#unhold()
  }

  /** What names resolve to has changed. */
  forgetPlans(): void {
    this.#plans.clear()
  }

  /** Fetches no more; what is in flight is still settled. */
  drain(): void {
    this.#draining = true
  }

  get drained(): boolean {
    return this.tracked.window.size === 0
  }

  report(): FlowReport {
    const { window } = this.tracked
    const now = this.#deps.clock.monotonic()
    return {
      direction: 'natsToMqtt',
      inFlight: window.size,
      limit: window.limit,
      bytes: window.bytes,
      limitBytes: window.limitBytes,
      heldBack: this.#callOff !== undefined || window.full,
      heldSeconds: this.#held.seconds(now),
      oldestSeconds: window.oldest(now),
    }
  }

  #beginBatch(): void {
    this.#inBatch = true
    this.tracked.now = this.#deps.clock.monotonic()
    this.#wall = this.#deps.clock.now()
  }

  #plan(view: MessageView): Plan<Target> {
    const first = view.buffer[view.nameStart]
    if (first === DOLLAR || first === UNDERSCORE) return this.#planSpecial(view)
    const key = view.nameKey
    const found = this.#plans.get(key)
    if (found !== undefined) return found
    const plan = this.#deps.planFor(view.name)
    this.#plans.set(key, plan)
    return plan
  }

  /** Reserved spaces hold subjects that come once, such as inboxes: one plan stands for all of a space. */
  #planSpecial(view: MessageView): Plan<Target> {
    const key = view.nameKey
    const dot = key.indexOf('.')
    const space = dot < 0 ? key : key.slice(0, dot)
    const found = this.#reserved.get(space) ?? this.#plans.get(key)
    if (found !== undefined) return found
    const plan = this.#deps.planFor(view.name)
    if (plan.refusal === 'reserved') this.#reserved.set(space, plan)
    else this.#plans.set(key, plan)
    return plan
  }

  #receiveLive(view: MessageView, plan: Plan<Target>): void {
    if (!this.#admit(view, plan)) return
    const qos = this.#farQos(view, plan)
    if (this.#draining) this.#drop(plan, 'shutdown', 'the bridge is stopping')
    else if (!this.#deps.outlet.up) {
      this.#drop(plan, 'disconnected', 'MQTT is away, and live messages do not wait')
    } else if (this.#deps.outlet.blocked || this.tracked.window.full) {
      this.#drop(plan, 'queueFull', 'the broker takes less than comes in')
    } else if (qos === 0 && !this.tracked.queueing) this.#pass(view, plan)
    else this.tracked.take(view, plan, qos)
  }

  #receiveStored(view: MessageView, plan: Plan<Target>, position: StreamPosition): void {
    if (!this.#admit(view, plan)) this.tracked.takeDone(position)
    else if (position.repeated) {
      plan.books.drop('duplicate')
      this.tracked.takeDone(position)
    } else this.tracked.take(view, plan, this.#farQos(view, plan), position)
  }

  /** Counts a message in; false when it goes no further. */
  #admit(view: MessageView, plan: Plan<Target>): boolean {
    const { books } = plan
    const qos = this.#farQos(view, plan)
    books.received[qos] = (books.received[qos] as number) + 1
    books.receivedBytes += view.payloadEnd - view.payloadStart
    if (plan.retain !== 'keep') view.retain = plan.retain === 'force'
    if (view.own) {
      books.filtered++
      books.loopsSuppressed++
    } else if (plan.refusal !== undefined) this.#drop(plan, plan.refusal, plan.text)
    else if (this.#tooLarge(view, plan.target as Target)) {
      this.#drop(plan, 'tooLarge', 'above the largest packet the broker takes')
    } else return true
    return false
  }

  #tooLarge(view: MessageView, target: Target): boolean {
    const { outlet } = this.#deps
    return outlet.up && outlet.packetBytes(view, target) > outlet.maximumPacketSize
  }

  #pass(view: MessageView, plan: Plan<Target>): void {
    this.#deps.outlet.encode(view, plan.target as Target, -1, 0)
    const { books } = plan
    books.forwarded[0] = (books.forwarded[0] as number) + 1
    books.forwardedBytes += view.payloadEnd - view.payloadStart
    books.lastForwardedAt = this.#wall
  }

  #drop(plan: Plan<Target>, reason: DropReason, text: string): void {
    plan.books.drop(reason)
    this.#deps.drops.note(plan.books, reason, text)
  }

  /** Stops reading from NATS, but never for long: answers for the other direction come the same way. */
  #hold(): void {
    if (this.#callOff !== undefined) return
    const { clock, inlet } = this.#deps
    inlet.hold(true)
    this.#held.begin('socket', clock.monotonic())
    this.#callOff = clock.after(LONGEST_HOLD, () => this.#unhold())
  }

  #unhold(): void {
    if (this.#callOff === undefined) return
    this.#callOff()
    this.#callOff = undefined
    this.#held.end(this.#deps.clock.monotonic())
    this.#deps.inlet.hold(false)
  }

  /** QoS on the far side: the message's own wish, if it has one, up to the route's and the broker's. */
  #farQos(view: MessageView, plan: Plan<Target>): number {
    const wished = view.qos < 0 ? plan.qos : Math.min(view.qos, plan.qos)
    return Math.min(wished, this.#deps.outlet.maximumQos)
  }
}
