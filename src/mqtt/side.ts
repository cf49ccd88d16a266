import type { Duplex } from 'node:stream'
import type { DropReason } from '../core/books.ts'
import type { MqttConfig } from '../core/config.ts'
import { toBridgeError } from '../core/errors.ts'
import type { MqttHandler } from '../core/lanes.ts'
import type { MessageView } from '../core/message-view.ts'
import type { Clock, LinkReport, Logger, Part } from '../core/ports.ts'
import type { Channel } from './channel.ts'
import { PacketType } from './frames.ts'
import type { MqttLinkFacts } from './link-facts.ts'
import { MqttSession } from './session.ts'
import { MqttSink } from './sink.ts'
import { MqttSource } from './source.ts'
import type { Subscription } from './subscriptions.ts'
import { FIRST_PACKET_ID, MqttTap, type MqttTapHost } from './tap.ts'

/** Topic aliases a broker may use towards us, when it speaks MQTT 5. */
const TOPIC_ALIASES = 64

/** What the MQTT side tells its owner. */
export interface MqttSideHandler extends MqttHandler {
  /** Whether messages are taken now. */
  isAccepting(): boolean
  /** A message above the largest packet taken: only its head is there. `length` is that of the packet, bytes. */
  onOversize(view: MessageView, length: number): boolean
  /** The broker acknowledged the message of a slot; `refusal` says why it did not take it. */
  onAcknowledged(slot: number, refusal: { reason: DropReason; text: string } | undefined): void
  onAcknowledgementsEnd(): void
  onDrain(): void
  onUp(facts: MqttLinkFacts): void
  onDown(): void
  /** What to subscribe to on this connection. */
  subscriptions(facts: MqttLinkFacts): readonly Subscription[]
}

export interface MqttSideDeps {
  readonly logger: Logger
  readonly clock: Clock
  readonly report: LinkReport
  readonly handler: MqttSideHandler
  /** Opens a byte stream to the broker inside the process; absent when the broker is elsewhere. */
  readonly dialLocal?: () => Duplex
}

/** Everything of the MQTT side: the session, and on each connection of it a tap between our source and sink. */
export class MqttSide implements Part, MqttTapHost {
  readonly source = new MqttSource()
  readonly sink = new MqttSink()
  /** Why the side cannot deliver although connected. */
  reason = ''
  readonly #config: MqttConfig
  readonly #deps: MqttSideDeps
  readonly #session: MqttSession
  #tap: MqttTap | undefined
  /** Of this connection, seconds: the broker's when it set one. */
  #keepalive = 0
  #callOff: () => void = () => undefined
  /** The connection whose reading was stopped within the present interval. */
  #watched: MqttTap | undefined

  constructor(config: MqttConfig, deps: MqttSideDeps) {
    this.#config = config
    this.#deps = deps
    this.#session = new MqttSession(config, {
      logger: deps.logger,
      clock: deps.clock,
      report: deps.report,
      topicAliasMaximum: TOPIC_ALIASES,
      host: {
        wrap: (channel) => this.#wrap(channel),
        up: (facts) => this.#up(facts),
        down: () => this.#down(),
      },
      ...(deps.dialLocal === undefined ? {} : { dialLocal: deps.dialLocal }),
    })
  }

  start(): Promise<void> {
    return this.#session.start()
  }

  async stop(): Promise<void> {
    this.#callOff()
    await this.#session.stop()
  }

  /** Dials without waiting, once: a secret changed. */
  retryNow(): void {
    this.#session.retryNow()
  }

  get accepting(): boolean {
    return this.#deps.handler.isAccepting()
  }

  onMessage(view: MessageView): boolean {
    return this.#deps.handler.onMessage(view)
  }

  onBatchEnd(): boolean {
    return this.#deps.handler.onBatchEnd()
  }

  onOversize(view: MessageView, length: number): boolean {
    return this.#deps.handler.onOversize(view, length)
  }

  onAcknowledgement(type: number, packetId: number, reason: number): void {
    if (type !== PacketType.puback || packetId < FIRST_PACKET_ID) return
    this.#deps.handler.onAcknowledged(packetId - FIRST_PACKET_ID, refusal(reason))
  }

  onAcknowledgementsEnd(): void {
    this.#deps.handler.onAcknowledgementsEnd()
  }

  onRelease(packetId: number): void {
    this.source.complete(packetId)
    this.source.flushAcknowledgements()
  }

  onDrain(): void {
    this.#deps.handler.onDrain()
  }

  #wrap(channel: Channel): Duplex {
    const tap = new MqttTap(channel, this, {
      clock: this.#deps.clock,
      maxPacketSize: this.#config.maxPacketSize,
      topicAliasMaximum: TOPIC_ALIASES,
    })
    this.#tap = tap
    // messages of a resumed session may come in one piece with the CONNACK
    this.source.attach(tap)
    return tap
  }

  #up(facts: MqttLinkFacts): void {
    const { sink } = this
    sink.attach(this.#tap)
    if (!facts.sessionPresent) this.source.sessionBegan = this.source.generation
    this.#keepalive = facts.keepalive
    sink.v5 = facts.protocolVersion === 5
    sink.maximumPacketSize = facts.maximumPacketSize
    sink.maximumQos = facts.maximumQos
    sink.retainAvailable = facts.retainAvailable
    sink.up = true
    this.reason = 'subscribing'
    this.#deps.handler.onUp(facts)
    this.#subscribe(facts)
  }

  #subscribe(facts: MqttLinkFacts): void {
    const tap = this.#tap
    this.#session
      .subscribe(this.#deps.handler.subscriptions(facts))
      .then(() => '')
      .catch((error: unknown) => {
        const failure = toBridgeError(error)
        if (this.#tap === tap && this.sink.up) this.#deps.logger.failure(failure, 'not subscribed')
        return `${failure.message}: ${failure.hint}`
      })
      .then((reason) => {
        if (this.#tap === tap) this.reason = reason
      })
      .catch((error: unknown) =>
        this.#deps.logger.failure(toBridgeError(error), 'subscribing failed'),
      )
  }

  #down(): void {
    this.sink.up = false
    this.sink.attach(undefined)
    this.source.attach(undefined)
    this.reason = ''
    this.#deps.handler.onDown()
  }

  /** While reading is stopped the broker's answers to pings are not read either: the session is told to go on. */
  onStopped(): void {
    // under load stops follow one another closely: the first of them has set the clock
    if (this.#watched !== undefined && this.#watched === this.#tap) return
    this.#callOff()
    const tap = this.#tap
    this.#watched = tap
    const pause = Math.max(250, (this.#keepalive * 1000) / 3)
    this.#callOff = this.#deps.clock.after(pause, () => {
      this.#watched = undefined
      if (this.#tap !== tap) return
      this.#session.keepAlive()
      if (tap?.stopped === true) this.onStopped()
    })
  }
}

/** MQTT 5 reason codes of a PUBACK that mean the message was not taken [MQTT-3.4.2.1]. */
const REASONS: Readonly<Record<number, { reason: DropReason; text: string }>> = {
  131: { reason: 'rejected', text: 'implementation specific error' },
  135: { reason: 'denied', text: 'not authorized' },
  144: { reason: 'rejected', text: 'topic name invalid' },
  149: { reason: 'tooLarge', text: 'packet too large' },
  151: { reason: 'rejected', text: 'quota exceeded' },
  153: { reason: 'rejected', text: 'payload format invalid' },
}

function refusal(reason: number): { reason: DropReason; text: string } | undefined {
  if (reason < 128) return undefined
  const known = REASONS[reason] ?? { reason: 'rejected' as const, text: 'unspecified error' }
  return { ...known, text: `the broker refused it: ${known.text} (0x${reason.toString(16)})` }
}
