import type { MqttInlet, NoStreamVerdict } from '../../../src/core/lanes.ts'
import { MqttToNats } from '../../../src/delivery/mqtt-to-nats.ts'
import { Mode } from '../../../src/delivery/plans.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { viewOf } from '../../support/views.ts'
import { dropLog, Plans, ToyOutlet, type Written } from './stand-ins.ts'

const LIMIT = 8
/** Messages the broker sends before it waits for acknowledgements. */
const RECEIVE_MAXIMUM = 12

/** A message of the broker's. */
interface Sent {
  readonly id: string
  readonly topic: string
  readonly qos: number
  readonly packetId: number
  dup: boolean
}

/** What the server does with the next thing on the wire. */
export type Turn = 'take' | 'refuse' | 'nobody'

type OnWire = Written | { readonly ping: number }

/**
 * A broker before the flow and a NATS server behind it, both as strict as real ones: the broker resends what
 * is unacknowledged, in order, and reuses packet ids; the server answers in order, or not at all when the
 * connection breaks.
 */
export class World {
  readonly clock = new ManualClock()
  readonly outlet = new ToyOutlet()
  readonly plans = new Plans('mqttToNats', {
    durable: { mode: Mode.durable },
    confirmed: { mode: Mode.confirmed },
    live: { mode: Mode.live },
    refused: { refusal: 'unmappable', text: 'no' },
    copied: { owner: 2 },
    denied: { mode: Mode.confirmed },
    deniedDurable: { mode: Mode.durable },
  })
  readonly flow: MqttToNats<string>
  verdict: NoStreamVerdict = 'retry'
  /** Ids of messages NATS has, in the order it got them. */
  readonly stored: string[] = []
  /** First writes of each message, by topic. */
  readonly firstWrites = new Map<string, string[]>()
  readonly violations: string[] = []
  readonly #written = new Set<string>()
  #wire: OnWire[] = []
  #unacknowledged: Sent[] = []
  #queue: Sent[] = []
  /** Packet ids received on this connection and not acknowledged, in order. */
  #received: Sent[] = []
  #appended: number[] = []
  #stopped = false
  #generation = 1
  #sessionBegan = 1
  #reading = false
  #next = 0

  constructor(over: { readonly planFor?: Plans['planFor'] } = {}) {
    const inlet: MqttInlet = {
      generation: 1,
      sessionBegan: 1,
      acknowledge: (packetId) => this.#appended.push(packetId),
      flushAcknowledgements: () => this.#acknowledged(),
      release: () => {
        this.#stopped = false
        this.read(1_000)
      },
    }
    Object.defineProperty(inlet, 'generation', { get: () => this.#generation })
    Object.defineProperty(inlet, 'sessionBegan', { get: () => this.#sessionBegan })
    this.outlet.onFrame = (frame) => this.#onFrame(frame)
    this.outlet.onPing = (ping) => this.#wire.push({ ping })
    this.flow = new MqttToNats({
      inlet,
      outlet: this.outlet,
      clock: this.clock,
      drops: dropLog(this.clock),
      planFor: over.planFor ?? this.plans.planFor,
      onNoStream: () => this.verdict,
      windowLimit: LIMIT,
      windowBytes: 1_000_000,
    })
  }

  get waiting(): number {
    return this.#unacknowledged.length + this.#queue.length
  }

  /** Everything of QoS 1 ever sent, by topic kind. */
  readonly sent: Sent[] = []

  publish(topic: string, qos: number): void {
    const message = { id: `m${this.#next++}`, topic, qos, packetId: 0, dup: false }
    this.sent.push(message)
    this.#queue.push(message)
  }

  /** Lets the flow read up to that many messages, in one batch. */
  read(count: number): void {
    if (this.#reading || this.#stopped) return
    this.#reading = true
    let goOn = true
    for (let i = 0; i < count && goOn; i++) {
      if (!this.flow.accepting) {
        goOn = false
        break
      }
      const message = this.#take()
      if (message === undefined) break
      goOn = this.flow.onMessage(
        viewOf({
          name: message.topic,
          payload: message.id,
          qos: message.qos,
          dup: message.dup,
          packetId: message.packetId,
          subscription: 1,
        }),
      )
    }
    this.#stopped = !this.flow.onBatchEnd() || !(goOn || this.flow.accepting)
    this.#reading = false
  }

  /** The server works off what is on the wire. */
  serve(turns: readonly Turn[]): void {
    for (const turn of turns) {
      const item = this.#wire.shift()
      if (item === undefined) break
      if ('ping' in item) this.flow.tracked.onPong(item.ping)
      else this.#serve(item, turn)
    }
    this.flow.onAnswersEnd()
  }

  natsDown(): void {
    this.outlet.up = false
    this.#wire = []
    this.flow.onNatsDown()
  }

  /** Connected; the streams are asked for. */
  natsUp(): void {
    this.outlet.up = true
  }

  streamsKnown(): void {
    if (this.outlet.up) this.flow.onNatsUp()
  }

  block(on: boolean): void {
    this.outlet.blocked = on
    if (!on) this.flow.onDrain()
  }

  mqttReconnect(): void {
    this.#generation++
    this.#appended = []
    this.#received = []
    this.#stopped = false
    for (const message of this.#unacknowledged) message.dup = true
    this.#queue = [...this.#unacknowledged, ...this.#queue]
    this.#unacknowledged = []
  }

  /** The broker forgot the session: what it had handed over is the flow's alone, and all packet ids are free. */
  mqttSessionLost(): void {
    this.mqttReconnect()
    this.#sessionBegan = this.#generation
    this.#queue = this.#queue.filter(({ packetId }) => packetId === 0)
  }

  #take(): Sent | undefined {
    const [message] = this.#queue
    if (message === undefined) return undefined
    if (message.qos > 0) {
      if (this.#unacknowledged.length >= RECEIVE_MAXIMUM) return undefined
      if (message.packetId === 0) Object.assign(message, { packetId: this.#freeId() })
      this.#unacknowledged.push(message)
      this.#received.push(message)
    }
    return this.#queue.shift()
  }

  /** The lowest that is free, so that ids are used again as soon as can be. */
  #freeId(): number {
    const used = new Set([...this.#unacknowledged, ...this.#queue].map(({ packetId }) => packetId))
    let id = 1
    while (used.has(id)) id++
    return id
  }

  #acknowledged(): void {
    for (const packetId of this.#appended) {
      const next = this.#received.shift()
      if (next?.packetId !== packetId) {
        this.violations.push(`acknowledged ${packetId}, not ${next?.packetId}`)
        continue
      }
      if (this.#mustBeStored(next) && !this.stored.includes(next.id)) {
        this.violations.push(`${next.id} to '${next.topic}' was acknowledged and is not stored`)
      }
      this.#unacknowledged = this.#unacknowledged.filter((one) => one !== next)
    }
    this.#appended = []
  }

  #mustBeStored({ topic }: Sent): boolean {
    return (
      topic.startsWith('confirmed') || (topic.startsWith('durable') && this.verdict === 'retry')
    )
  }

  #onFrame(frame: Written): void {
    this.#wire.push(frame)
    if (this.#written.has(frame.payload)) return
    this.#written.add(frame.payload)
    const list = this.firstWrites.get(frame.address) ?? []
    list.push(frame.payload)
    this.firstWrites.set(frame.address, list)
  }

  #serve(frame: Written, turn: Turn): void {
    if (frame.address.startsWith('denied')) {
      this.flow.onDenied(frame.address)
      return
    }
    const durable = frame.slot >= 0
    if (!durable || turn === 'take') this.stored.push(frame.payload)
    if (!durable) return
    const { tracked } = this.flow
    if (turn === 'take') tracked.onAnswer(frame.slot, undefined)
    else if (turn === 'nobody') tracked.onAnswer(frame.slot, { code: 'noResponders', text: '' })
    else tracked.onAnswer(frame.slot, { code: 10_077, text: 'full' })
  }
}
