import type { DropReason } from '../core/books.ts'
import type { MqttHandler } from '../core/lanes.ts'
import type { MessageView } from '../core/message-view.ts'
import type { FlowReport } from '../core/status.ts'
import { HoldTimes } from './hold-times.ts'
import { NatsWindow, type NatsWindowDeps } from './nats-window.ts'
import { Mode, type Plan, PlanCache } from './plans.ts'
import type { Tapped } from './tapped.ts'

export interface MqttToNatsDeps<Target> extends NatsWindowDeps<Target> {
  /** Decides what becomes of a topic; asked once per topic, then cached. */
  readonly planFor: (topic: string) => Plan<Target>
  /** Messages of QoS ≥ 1 taken and not settled. */
  readonly windowLimit: number
  /** Memory their frames may hold, bytes. */
  readonly windowBytes: number
}

/**
 * Carries messages from MQTT to NATS. QoS 0 goes straight through; QoS ≥ 1 is tracked until NATS has it,
 * and only then acknowledged. While NATS is away the frames wait in the window; a full window, or a full
 * socket, stops the reading, and that is the only queue there is.
 */
export class MqttToNats<Target> implements MqttHandler {
  readonly tracked: NatsWindow<Target>
  readonly #deps: MqttToNatsDeps<Target>
  readonly #plans = new PlanCache<Plan<Target>>()
  readonly #held = new HoldTimes()
  /** It is known which streams there are: before that nobody can say what a message needs. */
  #informed = false
  /** Set while somebody watches what is decided. */
  tapped: Tapped | undefined
  /** Reading was stopped and is to be released. */
  #stopped = false
  #draining = false
  #inBatch = false
  /** The time of the batch at hand, milliseconds since the epoch. */
  #wall = 0

  constructor(deps: MqttToNatsDeps<Target>) {
    this.#deps = deps
    this.tracked = new NatsWindow(deps, deps.windowLimit, deps.windowBytes)
  }

  /** Whether messages may be handed over now. */
  get accepting(): boolean {
    return this.#draining || (this.#informed && !this.tracked.window.full)
  }

  onMessage(view: MessageView): boolean {
    if (this.#isLeft(view)) return true
    if (!this.#inBatch) this.#beginBatch()
    const plan = this.#plan(view)
    // of several copies that a broker sends for overlapping filters, one is the message
    const copy = plan.owner !== 0 && view.subscription !== 0 && view.subscription !== plan.owner
    if (this.tapped === undefined) this.#receive(view, plan, copy)
    else this.tapped(view, plan, () => this.#receive(view, plan, copy))
    return !this.tracked.window.full
  }

  /**
   * A message of which only the head is there: its packet is above the largest one taken.
   * @param length of the packet, bytes
   */
  onOversize(view: MessageView, length: number): boolean {
    if (this.#isLeft(view)) return true
    if (!this.#inBatch) this.#beginBatch()
    const plan = this.#plan(view)
    plan.books.received[view.qos] = (plan.books.received[view.qos] as number) + 1
    plan.books.receivedBytes += length
    this.#refuse(view, plan, 'tooLarge', `${length} bytes, above mqtt.maxPacketSize`)
    return !this.tracked.window.full
  }

  onBatchEnd(): boolean {
    this.#inBatch = false
    const { outlet } = this.#deps
    if (outlet.frames.pending) outlet.frames.flush((bytes) => outlet.write(bytes))
    this.tracked.written()
    this.tracked.release()
    const stop = this.#mustWait
    const now = this.#deps.clock.monotonic()
    if (stop) this.#held.begin(this.#cause(), now)
    else this.#held.end(now)
    this.#stopped = stop
    return !stop
  }

  /** Looks for answers that do not come; call about once a second. */
  tick(): void {
    this.tracked.tick()
    this.onAnswersEnd()
  }

  /** The messages of a NATS chunk, answers among them, were handed over. */
  onAnswersEnd(): void {
    if (this.tracked.release()) this.#goOn()
  }

  /** NATS is there (again) and its streams are known: what waits goes out. */
  onNatsUp(): void {
    this.#plans.clear()
    const first = !this.#informed
    this.#informed = true
    this.tracked.onStreams()
    if (first) this.#deps.inlet.release()
    this.onAnswersEnd()
    this.#goOn()
  }

  onNatsDown(): void {
    this.tracked.onDown()
    // a full socket is gone with its connection
    this.#goOn()
  }

  /** The socket to NATS took what was waiting. */
  onDrain(): void {
    this.#goOn()
  }

  /** What names resolve to has changed, e.g. a stream came or went. */
  forgetPlans(): void {
    this.#plans.clear()
  }

  /** NATS forbids publishing to this subject: finds the message that caused it where that can be known. */
  onDenied(subject: string): void {
    if (this.tracked.deny(subject)) {
      this.onAnswersEnd()
      return
    }
    for (const plan of this.#plans.values()) {
      if (plan.address !== subject) continue
      // it was live, and stood as forwarded since it was written
      const { forwarded } = plan.books
      const qos = forwarded.findIndex(
        (count, at) => count > 0 && (at === 0 || plan.mode === Mode.live),
      )
      if (qos < 0) continue
      forwarded[qos] = (forwarded[qos] as number) - 1
      this.#drop(plan, 'denied', `publishing to '${subject}' is not permitted`)
      return
    }
  }

  /**
   * Takes no more; what is in flight is still settled. Reading goes on, because the broker's acknowledgements
   * for the other direction lie between its messages.
   */
  drain(): void {
    this.#draining = true
    this.#goOn()
  }

  get drained(): boolean {
    return this.tracked.window.size === 0
  }

  report(): FlowReport {
    const { window } = this.tracked
    const now = this.#deps.clock.monotonic()
    return {
      direction: 'mqttToNats',
      inFlight: window.size,
      limit: window.limit,
      bytes: window.bytes,
      limitBytes: window.limitBytes,
      heldBack: this.#stopped,
      heldSeconds: this.#held.seconds(now),
      oldestSeconds: window.oldest(now),
    }
  }

  #beginBatch(): void {
    this.#inBatch = true
    this.#wall = this.#deps.clock.now()
    this.tracked.now = this.#deps.clock.monotonic()
  }

  #plan(view: MessageView): Plan<Target> {
    const key = view.nameKey
    const found = this.#plans.get(key)
    if (found !== undefined) return found
    const plan = this.#deps.planFor(view.name)
    this.#plans.set(key, plan)
    return plan
  }

  #receive(view: MessageView, plan: Plan<Target>, copy: boolean): void {
    const { books } = plan
    const { outlet } = this.#deps
    const size = view.payloadEnd - view.payloadStart
    books.received[view.qos] = (books.received[view.qos] as number) + 1
    books.receivedBytes += size
    if (plan.retain !== 'keep') view.retain = plan.retain === 'force'
    if (copy) {
      books.filtered++
      if (view.qos > 0) this.tracked.takeDone(view)
    } else if (plan.refusal !== undefined) this.#refuse(view, plan, plan.refusal, plan.text)
    else if (size > outlet.maxPayload) this.#refuse(view, plan, 'tooLarge', `${size} bytes`)
    else if (!outlet.up && (view.qos === 0 || plan.mode === Mode.live)) {
      this.#refuse(view, plan, 'disconnected', 'NATS is away, and live messages do not wait')
    } else if (view.qos === 0) {
      outlet.encode(view, plan.target as Target, -1, 0)
      books.forwarded[0] = (books.forwarded[0] as number) + 1
      books.forwardedBytes += size
      books.lastForwardedAt = this.#wall
    } else if (view.dup && this.tracked.isOnItsWay(view)) {
      books.drop('duplicate')
      this.tracked.takeDone(view)
    } else this.tracked.take(view, plan)
  }

  #refuse(view: MessageView, plan: Plan<Target>, reason: DropReason, text: string): void {
    this.#drop(plan, reason, text)
    if (view.qos > 0) this.tracked.takeDone(view)
  }

  #drop(plan: Plan<Target>, reason: DropReason, text: string): void {
    plan.books.drop(reason)
    this.#deps.drops.note(plan.books, reason, text)
  }

  /** Left unacknowledged: the broker delivers it again in the next session. */
  #isLeft(view: MessageView): boolean {
    return this.#draining && view.qos > 0
  }

  /** There is no room for more. */
  get #mustWait(): boolean {
    const { outlet } = this.#deps
    return (this.tracked.window.full && !this.#draining) || (outlet.up && outlet.blocked)
  }

  #goOn(): void {
    if (!this.#stopped || this.#mustWait) return
    this.#stopped = false
    this.#held.end(this.#deps.clock.monotonic())
    this.#deps.inlet.release()
  }

  #cause(): string {
    if (!this.#deps.outlet.up) return 'away'
    return this.tracked.window.full ? 'window' : 'socket'
  }
}
