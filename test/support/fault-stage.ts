import { type BridgeProcess, startBridge } from './bridge-process.ts'
import { eventually } from './eventually.ts'
import { consumerInfo, consumerNames, createStream, readStream, streamInfo } from './jetstream.ts'
import { type Load, mqttLoad, natsLoad } from './load.ts'
import { type Mosquitto, startMosquitto } from './mosquitto.ts'
import { type NatsServer, startNatsServer } from './nats-server.ts'
import { numbering, Oracle } from './oracle.ts'
import { type FaultProxy, startProxy } from './proxy.ts'
import { connectMqtt, type RawMqtt } from './raw-mqtt.ts'
import { connectNats, type RawNats } from './raw-nats.ts'

export type FlowDirection = 'mqttToNats' | 'natsToMqtt'

/** What flows while something breaks. */
export interface FaultStageOptions {
  readonly direction: FlowDirection
  /** Messages of QoS 1, spread evenly over the topics, and how many per second. */
  readonly count: number
  readonly rate: number
  readonly topics: number
  /** Messages the broker allows unacknowledged, on each connection. */
  readonly inflight: number
}

/** A persistent Mosquitto, a nats-server with a stream, and the built bridge between them, reached through a proxy on either side. */
export interface FaultStage extends AsyncDisposable {
  readonly broker: Mosquitto
  readonly server: NatsServer
  /** Between the bridge and each server; loads and readers go round them. */
  readonly proxies: { readonly mqtt: FaultProxy; readonly nats: FaultProxy }
  readonly bridge: BridgeProcess
  /** Begins to publish on the near side; call it once. */
  publish(): Load
  /** How far the far side is: grows with each arrival. Fails while that side is away. */
  progress(): Promise<number>
  /** What arrived on the far side so far, judged. */
  arrived(): Promise<Oracle>
  /** What the bridge left behind: its consumers, messages it never settled. In words. */
  leftOver(): Promise<string[]>
}

const STREAM = 'PLANT'
const RUN = 'faults'
/** Seconds: how soon a side that is silent is noticed follows from these. */
export const KEEPALIVE = 2
export const PING_INTERVAL = 1

/** Sets the stage, and waits until the bridge is ready: session and consumer are there. */
export async function startFaultStage(options: FaultStageOptions): Promise<FaultStage> {
  const opened: AsyncDisposable[] = []
  const keep = <T extends AsyncDisposable>(thing: T): T => {
    opened.unshift(thing)
    return thing
  }
  const dispose = async () => {
    for (const thing of opened.splice(0)) await thing[Symbol.asyncDispose]()
  }
  try {
    const limit = `max_inflight_messages ${options.inflight}`
    const broker = keep(await startMosquitto({ persistence: true, config: limit }))
    const server = keep(await startNatsServer({ jetstream: true }))
    const proxies = {
      mqtt: keep(await startProxy(broker.port)),
      nats: keep(await startProxy(server.port)),
    }
    await asking(server, (nats) => createStream(nats, STREAM, ['plant.>']))
    const far = options.direction === 'natsToMqtt' ? keep(new Listener(broker.port, options)) : null
    await far?.ready()
    const bridge = keep(await startBridge({ config: configOf(options.direction, proxies) }))
    const common = { broker, server, proxies, bridge, [Symbol.asyncDispose]: dispose }
    if (far !== null) {
      return {
        ...common,
        publish: () => keep(toNats(server, options)),
        progress: async () => far.oracle.arrived(),
        arrived: async () => far.oracle,
        leftOver: () => asking(server, unsettled),
      }
    }
    return {
      ...common,
      publish: () => keep(toMqtt(broker, options)),
      progress: () =>
        asking(server, async (nats) => (await streamInfo(nats, STREAM)).state.last_seq),
      arrived: () => asking(server, (nats) => stored(nats, options)),
      leftOver: async () => [],
    }
  } catch (error) {
    await dispose()
    throw error
  }
}

function configOf(
  direction: FlowDirection,
  proxies: FaultStage['proxies'],
): object & Record<string, unknown> {
  return {
    mqtt: {
      url: `mqtt://127.0.0.1:${proxies.mqtt.port}`,
      clientId: 'bridge',
      keepalive: `${KEEPALIVE}s`,
    },
    nats: {
      servers: [`nats://127.0.0.1:${proxies.nats.port}`],
      pingInterval: `${PING_INTERVAL}s`,
    },
    routes: [
      { name: 'plant', pattern: 'plant/#', mqttPrefix: 'mqtt/', direction, delivery: 'durable' },
    ],
  }
}

const topicOf = (topic: number) => `mqtt/plant/line${topic}/state`
const subjectOf = (topic: number) => `plant.line${topic}.state`

function messages({ topics, count, rate }: FaultStageOptions, nameOf: (topic: number) => string) {
  const { make } = numbering(RUN)
  return {
    rate,
    count,
    message: (n: number) => {
      const topic = n % topics
      return { name: nameOf(topic), payload: make(topic, Math.floor(n / topics), 100) }
    },
  }
}

function judge({ topics, count }: FaultStageOptions, nameOf: (topic: number) => string): Oracle {
  const counts = Array.from({ length: topics }, (_, topic) => Math.ceil((count - topic) / topics))
  return new Oracle(RUN, counts, nameOf)
}

function toMqtt({ port }: Mosquitto, options: FaultStageOptions): Load {
  return mqttLoad({ port, clientId: 'load' }, messages(options, topicOf))
}

function toNats({ port }: NatsServer, options: FaultStageOptions): Load {
  return natsLoad({ port }, { name: RUN, ...messages(options, subjectOf) })
}

/** Every message in the stream, judged. */
async function stored(nats: RawNats, options: FaultStageOptions): Promise<Oracle> {
  const oracle = judge(options, subjectOf)
  for (const { subject, data } of await readStream(nats, STREAM)) oracle.arrive(subject, data)
  return oracle
}

/** What the bridge has not settled with the stream. */
async function unsettled(nats: RawNats): Promise<string[]> {
  const names = await consumerNames(nats, STREAM)
  if (names.length !== 1) return [`consumers: ${names.join(', ')}`]
  const info = await consumerInfo(nats, STREAM, names[0] ?? '')
  const { num_ack_pending: unacked, num_pending: unread } = info
  return unacked + unread === 0 ? [] : [`${unacked} not acknowledged, ${unread} not read`]
}

/** A connection for one question: the server may have been away since the last one. */
async function asking<T>({ port }: NatsServer, ask: (nats: RawNats) => Promise<T>): Promise<T> {
  await using nats = await connectNats({ port })
  return await ask(nats)
}

/** Listens on the broker in a session that it resumes whenever the broker was away. */
class Listener implements AsyncDisposable {
  readonly oracle: Oracle
  readonly #port: number
  readonly #running: Promise<void>
  #client: RawMqtt | undefined
  #stopped = false

  constructor(port: number, options: FaultStageOptions) {
    this.#port = port
    this.oracle = judge(options, topicOf)
    this.#running = this.#listen()
  }

  async ready(): Promise<void> {
    await eventually('the listener to be subscribed', () => this.#client !== undefined)
  }

  async #listen(): Promise<void> {
    while (!this.#stopped) {
      const client = await eventually('the broker to take the listener', () => this.#connect(), {
        deadline: 30_000,
      })
      this.#client = client
      if (this.#stopped) await client.destroy()
      await client.closed
    }
  }

  async #connect(): Promise<RawMqtt> {
    const client = await connectMqtt({
      port: this.#port,
      clientId: 'listener',
      clean: false,
      onMessage: ({ topic, payload }) => this.oracle.arrive(topic, payload),
    })
    if (!client.connack.sessionPresent) await client.subscribe('mqtt/plant/#', { qos: 1 })
    return client
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true
    await this.#client?.destroy()
    await this.#running
  }
}
