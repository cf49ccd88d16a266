import { setTimeout as sleep } from 'node:timers/promises'
import { deferred } from './deferred.ts'
import { connectMqtt, type Qos, type RawMqtt, type RawMqttOptions } from './raw-mqtt.ts'
import { connectNats, type RawNats, type RawNatsOptions } from './raw-nats.ts'

/** One message to publish: a topic for MQTT, a subject for NATS. */
export interface LoadMessage {
  readonly name: string
  readonly payload: string | Uint8Array
}

/** What to publish, and how fast. */
export interface LoadOptions {
  /** Messages per second. */
  readonly rate: number
  readonly count: number
  /** Message number n, from 0; asked once for each n, in order. */
  readonly message: (n: number) => LoadMessage
  /** Most messages sent and not acknowledged, 500 unless given; less where the broker's Receive Maximum says so. */
  readonly window?: number
}

/** A load that is running. */
export interface Load extends AsyncDisposable {
  /** Resolves when every message is acknowledged (QoS 0: written). */
  readonly done: Promise<void>
  /** Messages taken up so far, without repeats. */
  sent(): number
  acked(): number
  /** Connections made; more than one means that the load itself lost its connection. */
  connects(): number
  /** Ends early, without waiting for what is open. */
  stop(): Promise<void>
}

/**
 * Publishes to an MQTT broker at that rate, QoS 1 unless given. It keeps a persistent session of its
 * own: when its connection breaks it connects again and sends what is unacknowledged again, in order,
 * with the same packet ids [MQTT-4.4.0-1], so nothing is lost on the way to the broker.
 */
export function mqttLoad(connection: RawMqttOptions, options: LoadOptions & { qos?: Qos }): Load {
  return new RunningLoad(options, new MqttLane(connection, options.qos ?? 1))
}

/**
 * Publishes to subjects of a JetStream stream at that rate and waits for each acknowledgement.
 * Each message has a message id (`<name of the load>-<n>`); when the connection breaks or a publish
 * is refused, everything from the first unacknowledged one on is sent again, so the stream holds
 * each message once and in order.
 */
export function natsLoad(
  connection: RawNatsOptions,
  options: LoadOptions & { name: string; headers?: Readonly<Record<string, string>> },
): Load {
  return new RunningLoad(options, new NatsLane(connection, options.name, options.headers ?? {}))
}

/** Sends messages over one protocol; made anew is its connection, not itself. */
interface Lane {
  /** Connects and sends the open messages again; `settled` is called for each message that is acknowledged. */
  connect(open: ReadonlyMap<number, LoadMessage>, settled: (n: number) => void): Promise<void>
  send(n: number, message: LoadMessage): void
  /** How many unacknowledged messages the peer takes. */
  limit(): number
  /** Resolves when the connection is broken. */
  broken(): Promise<void>
  close(): Promise<void>
}

/** How often the pace is looked at, milliseconds. */
const TICK = 5

class RunningLoad implements Load {
  readonly #options: LoadOptions
  readonly #lane: Lane
  readonly #open = new Map<number, LoadMessage>()
  readonly #done = deferred()
  #sent = 0
  #connects = 0
  /** Sends what is due and fits the window; does nothing while there is no connection. */
  #pump: () => void = () => undefined
  #stopped = false

  constructor(options: LoadOptions, lane: Lane) {
    this.#options = options
    this.#lane = lane
    this.#run().then(this.#done.resolve, this.#done.reject)
  }

  get done(): Promise<void> {
    return this.#done.promise
  }

  sent(): number {
    return this.#sent
  }

  acked(): number {
    return this.#sent - this.#open.size
  }

  connects(): number {
    return this.#connects
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#lane.close()
    await this.#done.promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #finished(): boolean {
    return this.#stopped || (this.#sent === this.#options.count && this.#open.size === 0)
  }

  async #run(): Promise<void> {
    while (!this.#finished()) {
      try {
        await this.#lane.connect(this.#open, (n) => {
          this.#open.delete(n)
          this.#pump()
        })
      } catch {
        await sleep(50)
        continue
      }
      this.#connects++
      await this.#publish()
    }
    await this.#lane.close()
  }

  /** Publishes at the rate until all is acknowledged or the connection breaks. */
  async #publish(): Promise<void> {
    let broken = false
    const end = this.#lane.broken().then(() => {
      broken = true
    })
    const { rate, count, message, window = 500 } = this.#options
    const [start, before] = [performance.now(), this.#sent]
    const limit = Math.min(window, this.#lane.limit())
    this.#pump = () => {
      const due = before + Math.ceil(((performance.now() - start) * rate) / 1000)
      while (!broken && this.#sent < Math.min(due, count) && this.#open.size < limit) {
        const n = this.#sent++
        const made = message(n)
        this.#open.set(n, made)
        this.#lane.send(n, made)
      }
    }
    while (!broken && !this.#finished()) {
      this.#pump()
      await Promise.race([sleep(TICK), end])
    }
    this.#pump = () => undefined
  }
}

class MqttLane implements Lane {
  readonly #options: RawMqttOptions
  readonly #qos: Qos
  #client: RawMqtt | undefined
  /** Messages of QoS 2 that the broker has (PUBREC): only the PUBREL is sent again. */
  readonly #released = new Set<number>()
  #settled: (n: number) => void = () => undefined

  constructor(options: RawMqttOptions, qos: Qos) {
    const clientId =
      options.clientId ?? `load-${process.pid}-${Math.random().toString(36).slice(2)}`
    this.#options = { ...options, clientId, clean: false }
    this.#qos = qos
  }

  async connect(open: ReadonlyMap<number, LoadMessage>, settled: (n: number) => void) {
    this.#settled = settled
    const client = await connectMqtt(this.#options)
    this.#client = client
    if (!client.connack.sessionPresent) this.#released.clear()
    for (const [n, message] of [...open]) this.#transmit(client, n, message, true)
  }

  send(n: number, message: LoadMessage): void {
    if (this.#client) this.#transmit(this.#client, n, message, false)
  }

  limit(): number {
    const announced = this.#client?.connack.properties?.receiveMaximum
    // MQTT 3.1.1 has no way to announce it; Mosquitto drops messages of QoS 2 above 20.
    const usual = this.#qos === 2 && this.#options.version === 4 ? 20 : 65_535
    return announced ?? usual
  }

  #transmit(client: RawMqtt, n: number, message: LoadMessage, dup: boolean): void {
    const packetId = (n % 65_535) + 1
    const done = () => {
      this.#released.delete(n)
      this.#settled(n)
    }
    if (this.#released.has(n)) {
      client.release(packetId).then(done, () => undefined)
      return
    }
    const options = { qos: this.#qos, dup: dup && this.#qos > 0, packetId }
    client
      .publish(message.name, message.payload, {
        ...options,
        onReceived: () => this.#released.add(n),
      })
      .then(done, () => undefined)
  }

  async broken(): Promise<void> {
    await this.#client?.closed
  }

  async close(): Promise<void> {
    await this.#client?.close()
  }
}

class NatsLane implements Lane {
  readonly #options: RawNatsOptions
  readonly #name: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #inbox = `_INBOX.load${Math.random().toString(36).slice(2)}`
  #client: RawNats | undefined

  constructor(options: RawNatsOptions, name: string, headers: Readonly<Record<string, string>>) {
    this.#options = options
    this.#name = name
    this.#headers = headers
  }

  async connect(open: ReadonlyMap<number, LoadMessage>, settled: (n: number) => void) {
    const client = await connectNats(this.#options)
    this.#client = client
    client.subscribe(`${this.#inbox}.*`).onMessage = (answer) => {
      // A refusal (no stream there, server about to stop) breaks the order unless all that
      // follows is sent again behind it: begin anew on a new connection.
      if (isAck(answer.data)) settled(Number(answer.subject.slice(this.#inbox.length + 1)))
      else client.socket.destroy()
    }
    for (const [n, message] of open) this.send(n, message)
    await client.flush()
  }

  send(n: number, message: LoadMessage): void {
    const headers = { ...this.#headers, 'Nats-Msg-Id': `${this.#name}-${n}` }
    const reply = `${this.#inbox}.${n}`
    this.#client?.publish(message.name, message.payload, { headers, reply })
  }

  limit(): number {
    return Number.POSITIVE_INFINITY
  }

  async broken(): Promise<void> {
    await this.#client?.closed
  }

  async close(): Promise<void> {
    await this.#client?.close()
  }
}

function isAck(data: Buffer): boolean {
  return data.includes('"seq"') && !data.includes('"error"')
}
