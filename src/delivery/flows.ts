import type { BridgeConfig, Direction, RouteConfig } from '../core/config.ts'
import type { DecisionListener } from '../core/decision.ts'
import { BridgeError } from '../core/errors.ts'
import type { MqttInlet, NatsInlet, NoStreamVerdict, Outlet } from '../core/lanes.ts'
import type { Clock, Logger } from '../core/ports.ts'
import type { FlowReport, RouteReport } from '../core/status.ts'
import { DropLog } from './drop-log.ts'
import { MqttToNats } from './mqtt-to-nats.ts'
import type { MqttOutlet } from './mqtt-window.ts'
import { NatsToMqtt } from './nats-to-mqtt.ts'
import { Planner, type PlannerDeps } from './planner.ts'
import {
  type CoveringStream,
  type Reading,
  StreamCover,
  type StreamCoverDeps,
} from './stream-cover.ts'
import { tapped } from './tapped.ts'

/** A stream that does not answer is believed gone after this many tries, about a quarter of a minute. */
const NO_STREAM_TRIES = 8

/** What the two flows need of the rest of the bridge. */
export interface FlowsDeps<NatsTarget, MqttTarget> {
  readonly config: BridgeConfig
  readonly clock: Clock
  readonly logger: Logger
  readonly names: Pick<PlannerDeps, 'resolve' | 'ownerOf'> &
    Omit<StreamCoverDeps, 'routes'> & {
      /** NATS wildcards to listen to, in the order their owners are counted. */
      readonly wildcards: readonly string[]
    }
  readonly mqtt: { readonly source: MqttInlet; readonly sink: MqttOutlet<MqttTarget> }
  readonly nats: {
    readonly source: NatsInlet & { subscribe(wildcards: readonly (string | undefined)[]): void }
    readonly sink: Outlet<NatsTarget> & { ping(position: number): void }
    /** Sets what durable consumers read. */
    read(readings: readonly Reading[]): void
    /** The list of streams may be out of date. */
    lookAtStreams(): void
  }
}

/** Both flows with what they share: the streams that take part, the plans made from them, the books. */
export class Flows<NatsTarget, MqttTarget> {
  readonly toNats: MqttToNats<NatsTarget>
  readonly toMqtt: NatsToMqtt<MqttTarget>
  readonly cover: StreamCover
  readonly #deps: FlowsDeps<NatsTarget, MqttTarget>
  readonly #planner: Planner
  readonly #said = new Map<string, string>()

  constructor(deps: FlowsDeps<NatsTarget, MqttTarget>) {
    this.#deps = deps
    const { config, clock, names, mqtt, nats } = deps
    const drops = new DropLog(deps.logger, clock)
    this.cover = new StreamCover({ ...names, routes: config.routes })
    this.#planner = new Planner({
      routes: config.routes,
      resolve: names.resolve,
      ownerOf: names.ownerOf,
      streamOf: (subject) => this.cover.streamOf(subject),
      reads: (route, stream) => this.cover.isRead(route, stream),
    })
    this.toNats = new MqttToNats({
      inlet: mqtt.source,
      outlet: nats.sink,
      clock,
      drops,
      planFor: (topic) => this.#planner.toNats(topic, (subject) => nats.sink.prepare(subject)),
      onNoStream: (subject, route, tries) => this.#onNoStream(subject, route, tries),
      windowLimit: config.mqtt.window,
      windowBytes: config.nats.windowBytes,
    })
    this.toMqtt = new NatsToMqtt({
      inlet: nats.source,
      outlet: mqtt.sink,
      clock,
      drops,
      planFor: (subject) => this.#planner.toMqtt(subject, (topic) => mqtt.sink.prepare(topic)),
      windowLimit: config.nats.window,
      windowBytes: config.nats.windowBytes,
    })
  }

  /** NATS is connected, or its streams have changed: decides anew what they are for, and lets what waits go out. */
  onStreams(streams: readonly CoveringStream[]): void {
    this.cover.update(streams)
    this.toMqtt.forgetPlans()
    const { names, nats } = this.#deps
    nats.source.subscribe(
      names.wildcards.map((wildcard) => (this.cover.isCovered(wildcard) ? undefined : wildcard)),
    )
    nats.read(this.cover.readings)
    this.#say()
    this.toNats.onNatsUp()
  }

  /** Tells the listener of each decision from now on; undefined ends that. */
  tap(listener: DecisionListener | undefined): void {
    const hook = listener === undefined ? undefined : tapped(listener)
    this.toNats.tapped = hook
    this.toMqtt.tapped = hook
  }

  /** Takes no more; what is in flight is still settled. */
  drain(): void {
    this.toNats.drain()
    this.toMqtt.drain()
  }

  get drained(): boolean {
    return this.toNats.drained && this.toMqtt.drained
  }

  flowReports(): readonly FlowReport[] {
    return [this.toNats.report(), this.toMqtt.report()]
  }

  routeReports(): readonly RouteReport[] {
    const { config } = this.#deps
    return this.#planner.books.map((books) => {
      const index = config.routes.findIndex(({ name }) => name === books.route)
      const route = config.routes[index]
      const streams = route === undefined ? [] : this.#streamsOf(index, books.direction)
      return {
        name: books.route,
        direction: books.direction,
        delivery: route === undefined ? 'none' : deliveryOf(route, streams, books.direction),
        window: books.direction === 'mqttToNats' ? config.mqtt.window : config.nats.window,
        books,
        streams,
      }
    })
  }

  /** Routes that insist on a stream and have none. */
  get withoutStream(): readonly string[] {
    return this.#deps.config.routes
      .filter(
        (route, index) => route.delivery === 'durable' && this.cover.streamsOf(index).length === 0,
      )
      .map(({ name }) => name)
  }

  #streamsOf(index: number, direction: Direction): readonly string[] {
    if (direction === 'mqttToNats') return this.cover.streamsOf(index)
    return this.cover.readings.filter(({ route }) => route === index).map(({ stream }) => stream)
  }

  /** Says, per route and direction and when it changes, what is delivered how. */
  #say(): void {
    for (const { name, direction, delivery, streams } of this.routeReports()) {
      const route = this.#deps.config.routes.find((one) => one.name === name)
      const key = `${direction} ${name}`
      const said = JSON.stringify([delivery, streams])
      if (route === undefined || this.#said.get(key) === said) continue
      this.#said.set(key, said)
      const fields = { route: name, direction, wished: route.delivery, delivery, streams }
      this.#deps.logger.info(fields, 'route delivers')
      if (route.delivery !== 'durable' || streams.length > 0) continue
      const text = `carrying route '${name}' ${direction}: no stream covers it, and it is durable`
      this.#deps.logger.failure(new BridgeError(text, { code: 'NATS_NO_STREAM' }), 'no stream')
    }
  }

  #onNoStream(subject: string, name: string, tries: number): NoStreamVerdict {
    if (Number.isFinite(tries)) this.#deps.nats.lookAtStreams()
    if (this.cover.streamOf(subject) !== undefined || tries < NO_STREAM_TRIES) return 'retry'
    const route = this.#deps.config.routes.find((one) => one.name === name)
    // nobody listens to the subject either, which is all that a confirmed delivery can find out
    return route?.delivery === 'durable' ? 'noStream' : 'settled'
  }
}

/**
 * What is in force on a route in one direction. `durable` holds for what its streams cover; what they do not
 * cover is delivered as if there were none. Core NATS has no acknowledgement: without a stream it is read live.
 */
function deliveryOf(
  route: RouteConfig,
  streams: readonly string[],
  direction: Direction,
): 'live' | 'confirmed' | 'durable' {
  if (route.class === 'live' || route.delivery === 'live') return 'live'
  if (route.delivery === 'durable') return 'durable'
  if (route.delivery === 'auto' && streams.length > 0) return 'durable'
  return direction === 'mqttToNats' ? 'confirmed' : 'live'
}
