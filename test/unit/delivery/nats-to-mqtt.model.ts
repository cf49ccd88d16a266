import type { NatsInlet } from '../../../src/core/lanes.ts'
import { NatsToMqtt } from '../../../src/delivery/nats-to-mqtt.ts'
import { Mode } from '../../../src/delivery/plans.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { viewOf } from '../../support/views.ts'
import { dropLog, Plans, ToyOutlet, type Written } from './stand-ins.ts'

export const LIMIT = 8

/** A message in the stream; its place is its sequence. */
interface Stored {
  readonly subject: string
  readonly qos: number
  readonly own: boolean
}

/** What the consumer handed out: the stream sequence by consumer sequence, per epoch. */
type Handed = number[]

/**
 * A stream before the flow and a broker behind it. The stream hands out strictly in order, as far as it is
 * asked; when it is out of step it begins anew behind what is settled. The broker holds the bridge to its
 * Receive Maximum and acknowledges in whatever order it likes.
 */
export class World {
  readonly clock = new ManualClock()
  readonly outlet = new ToyOutlet()
  readonly plans = new Plans('natsToMqtt', {
    stream: { mode: Mode.durable },
    refused: { mode: Mode.durable, refusal: 'unmappable', text: 'no' },
    foreign: { mode: Mode.durable, route: 3 },
    large: { mode: Mode.durable, target: 'x'.repeat(100) },
    live: { mode: Mode.live },
    owned: { mode: Mode.live, owner: 2, retain: 'strip' },
    forced: { mode: Mode.live, retain: 'force' },
  })
  readonly flow: NatsToMqtt<string>
  readonly violations: string[] = []
  readonly stored: Stored[] = []
  /** Payloads the broker has acknowledged, or refused for good. */
  readonly acknowledged = new Set<string>()
  readonly firstWrites = new Map<string, string[]>()
  readonly held: boolean[] = []
  /** What the flow asked for since the last delivery. */
  refills = 0
  readonly #written = new Set<string>()
  readonly #writtenNow = new Set<string>()
  #unacknowledged: Written[] = []
  #receiveMaximum = 1
  #epoch = 1
  #handed: Handed = []
  /** Place of the next message to hand out, from 0. */
  #next = 0
  /** Highest sequence handed out ever. */
  #last = 0
  #settled = 0
  #settledConsumer = 0
  #live = 0
  #down = false

  constructor() {
    const inlet: NatsInlet = {
      settled: (...all) => this.#onSettled(...all),
      refill: () => {
        this.refills++
      },
      hold: (on) => {
        this.held.push(on)
      },
    }
    this.outlet.onFrame = (frame) => this.#onFrame(frame)
    this.flow = new NatsToMqtt({
      inlet,
      outlet: this.outlet,
      clock: this.clock,
      drops: dropLog(this.clock),
      planFor: this.plans.planFor,
      windowLimit: LIMIT,
      windowBytes: 1_000_000,
    })
  }

  /** Everything of the stream is handed out and settled. */
  get done(): boolean {
    return this.#settled === this.stored.length && this.flow.drained
  }

  get firstUnacknowledged(): string | undefined {
    return this.#unacknowledged[0]?.payload
  }

  store(subject: string, qos: number, own: boolean): void {
    this.stored.push({ subject, qos, own })
  }

  /** The consumer hands out what it was asked for, and live messages come between. */
  deliver(count: number, live: readonly number[]): void {
    const room = this.flow.room
    for (let i = 0; i < Math.min(count, room) && this.#next < this.stored.length; i++) {
      const { subject, qos, own } = this.stored[this.#next++] as Stored
      const sequence = this.#next
      this.#handed.push(sequence)
      const repeated = sequence <= this.#last
      this.#last = Math.max(this.#last, sequence)
      this.flow.onStream(
        viewOf({ name: subject, payload: `s${sequence}`, qos, own }),
        {
          consumer: 4,
          epoch: this.#epoch,
          streamSequence: sequence,
          consumerSequence: this.#handed.length,
          repeated,
        },
        0,
      )
    }
    for (const qos of live) {
      this.flow.onLive(viewOf({ name: 'live', payload: `l${this.#live++}`, qos }), 1)
    }
    this.flow.onBatchEnd()
  }

  /** NATS was away, or a delivery was lost: the consumer is made anew. */
  outOfStep(): void {
    this.#epoch++
    this.#handed = []
    this.#settledConsumer = 0
    this.#next = this.#settled
  }

  /** The broker answers for that many, picked as the numbers say. */
  acknowledge(picks: readonly number[], refuse: boolean): void {
    for (const pick of picks) {
      const at = pick % Math.max(1, this.#unacknowledged.length)
      const [frame] = this.#unacknowledged.splice(at, 1)
      if (frame === undefined) break
      this.acknowledged.add(frame.payload)
      const refusal = refuse ? ({ reason: 'denied', text: 'no' } as const) : undefined
      this.flow.tracked.onAcknowledged(frame.slot, refusal)
      // answered twice, or for what was never sent
      this.flow.tracked.onAcknowledged(frame.slot, undefined)
      this.flow.tracked.onAcknowledged(-5, undefined)
      this.flow.tracked.onAcknowledged(1_000_000, undefined)
    }
    this.flow.onAcknowledgementsEnd()
  }

  mqttUp(receiveMaximum: number, v5: boolean): void {
    if (this.outlet.up) return
    this.outlet.v5 = v5
    this.outlet.up = true
    this.#down = false
    this.#receiveMaximum = receiveMaximum
    this.#unacknowledged = []
    this.#writtenNow.clear()
    this.flow.onMqttUp(receiveMaximum)
  }

  mqttDown(): void {
    if (!this.outlet.up) return
    // a broker that hangs up at once may mean a message; here it never does
    this.clock.pass(5_000)
    this.hangUp()
  }

  /** The broker closes the link right away. */
  hangUp(): void {
    this.outlet.up = false
    this.#down = true
    this.flow.onMqttDown()
  }

  block(on: boolean): void {
    this.outlet.blocked = on
    if (!on) this.flow.onDrain()
  }

  #onFrame(frame: Written): void {
    const { payload, address, qos } = frame
    if (this.#down) this.violations.push(`${payload} written without a connection`)
    if (frame.v5 !== this.outlet.v5) this.violations.push(`${payload} in the wrong version`)
    if (this.#writtenNow.has(payload)) this.violations.push(`${payload} twice on a connection`)
    this.#writtenNow.add(payload)
    const again = this.#written.has(payload)
    if (qos > 0 && frame.repeated !== again)
      this.violations.push(`${payload} dup ${frame.repeated}`)
    if (qos > 0) {
      if (this.#unacknowledged.some(({ slot }) => slot === frame.slot)) {
        this.violations.push(`packet id of slot ${frame.slot} used twice`)
      }
      this.#unacknowledged.push(frame)
      if (this.#unacknowledged.length > this.#receiveMaximum) this.violations.push('too many')
    }
    if (again) return
    this.#written.add(payload)
    const list = this.firstWrites.get(address) ?? []
    list.push(payload)
    this.firstWrites.set(address, list)
  }

  #onSettled(consumer: number, epoch: number, sequence: number, consumerSequence: number): void {
    if (consumer !== 4) this.violations.push(`consumer ${consumer}`)
    // of an epoch that is over only the place in the stream counts
    if (epoch === this.#epoch) {
      if (consumerSequence <= this.#settledConsumer) this.violations.push('settled backwards')
      if (this.#handed[consumerSequence - 1] !== sequence) this.violations.push('another number')
      this.#settledConsumer = consumerSequence
    }
    for (let one = this.#settled + 1; one <= sequence; one++) this.#checkSettled(one)
    this.#settled = Math.max(this.#settled, sequence)
  }

  #checkSettled(sequence: number): void {
    const { subject, qos, own } = this.stored[sequence - 1] as Stored
    const payload = `s${sequence}`
    if (own || !subject.startsWith('stream')) return
    const there = qos === 0 ? this.#written.has(payload) : this.acknowledged.has(payload)
    if (!there) this.violations.push(`${payload} settled too early`)
  }
}
