import { type BridgeHere, startBridgeHere, type WrittenConfig } from './bridge-in-process.ts'
import { type Mosquitto, type MosquittoOptions, startMosquitto } from './mosquitto.ts'
import { type NatsServer, type NatsServerOptions, startNatsServer } from './nats-server.ts'
import { connectMqtt, type RawMqtt, type RawMqttOptions } from './raw-mqtt.ts'
import { connectNats, type RawNats, type RawNatsOptions } from './raw-nats.ts'

/** The mapping of the runbook, written out. */
export const RUNBOOK_ROUTE = { pattern: '#', mqttPrefix: 'mqtt/', natsPrefix: '' } as const

/** What stands on the stage. */
export interface StageOptions {
  readonly mosquitto?: MosquittoOptions
  readonly nats?: NatsServerOptions
  readonly routes?: readonly object[]
  /** Settings of the `mqtt` section besides the URL. */
  readonly mqtt?: object
  /** Settings of the `nats` section besides the servers. */
  readonly natsSettings?: object
  /** Prepares the servers before the bridge comes, e.g. makes streams. */
  readonly before?: (nats: RawNats) => Promise<unknown>
  /** Ports the bridge dials instead of the servers', e.g. those of proxies. */
  readonly through?: (
    mqttPort: number,
    natsPort: number,
  ) => Promise<{ mqtt?: number; nats?: number }>
}

/** A Mosquitto, a nats-server, a bridge between them, and a client on each side. */
export interface Stage extends AsyncDisposable {
  readonly broker: Mosquitto
  readonly server: NatsServer
  readonly bridge: BridgeHere
  /** The configuration the bridge was started with. */
  readonly written: WrittenConfig
  readonly mqtt: RawMqtt
  readonly nats: RawNats
  /** One more client; closed with the stage. */
  mqttClient(options?: Partial<RawMqttOptions>): Promise<RawMqtt>
  natsClient(options?: Partial<RawNatsOptions>): Promise<RawNats>
  /** A fresh bridge with the configuration of the first, which must have been stopped; stopped with the stage. */
  again(over?: WrittenConfig): Promise<BridgeHere>
}

let stages = 0

/** Sets the stage; the default route is the runbook's. */
export async function startStage(options: StageOptions = {}): Promise<Stage> {
  const opened: AsyncDisposable[] = []
  const keep = <T extends AsyncDisposable>(thing: T): T => {
    opened.unshift(thing)
    return thing
  }
  const dispose = async () => {
    for (const thing of opened.splice(0)) await thing[Symbol.asyncDispose]()
  }
  try {
    const broker = keep(await startMosquitto(options.mosquitto))
    const server = keep(await startNatsServer(options.nats))
    const nats = keep(await connectNats({ port: server.port }))
    const mqtt = keep(await connectMqtt({ port: broker.port }))
    await options.before?.(nats)
    const ports = await options.through?.(broker.port, server.port)
    const written: WrittenConfig = {
      mqtt: {
        url: `mqtt://127.0.0.1:${ports?.mqtt ?? broker.port}`,
        clientId: `bridge-${process.pid}-${++stages}`,
        ...options.mqtt,
      },
      nats: {
        servers: [`nats://127.0.0.1:${ports?.nats ?? server.port}`],
        ...options.natsSettings,
      },
      routes: options.routes ?? [RUNBOOK_ROUTE],
    }
    const bridge = keep(await startBridgeHere(written))
    return {
      broker,
      server,
      bridge,
      written,
      mqtt,
      nats,
      mqttClient: async (more) => keep(await connectMqtt({ port: broker.port, ...more })),
      natsClient: async (more) => keep(await connectNats({ port: server.port, ...more })),
      again: async (over) => keep(await startBridgeHere({ ...written, ...over })),
      [Symbol.asyncDispose]: dispose,
    }
  } catch (error) {
    await dispose()
    throw error
  }
}

/** Subjects or topics with payloads, as text, for comparing. */
export function texts(
  messages: readonly {
    readonly subject?: string
    readonly topic?: string
    readonly data?: Buffer
    readonly payload?: Buffer
  }[],
): string[] {
  return messages.map((m) => `${m.subject ?? m.topic} ${(m.data ?? m.payload)?.toString()}`)
}
