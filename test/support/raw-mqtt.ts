import { connect as connectTcp, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import {
  generate,
  type IConnackPacket,
  type IConnectPacket,
  type IPublishPacket,
  type IPubrecPacket,
  type ISubackPacket,
  type ISubscription,
  type Packet,
  parser,
} from 'mqtt-packet'
import { type Deferred, deferred } from './deferred.ts'
import { eventually, within } from './eventually.ts'

export type Qos = 0 | 1 | 2
export type PublishProperties = NonNullable<IPublishPacket['properties']>

/** How to connect. */
export interface RawMqttOptions {
  readonly port: number
  readonly host?: string
  readonly tls?: ConnectionOptions
  /** Protocol: 4 is MQTT 3.1.1, 5 (unless given) is MQTT 5. */
  readonly version?: 4 | 5
  readonly clientId?: string
  /** True (unless given) begins with an empty session. */
  readonly clean?: boolean
  readonly username?: string
  readonly password?: string
  /** Seconds; 0 (unless given) switches it off. */
  readonly keepalive?: number
  readonly will?: NonNullable<IConnectPacket['will']>
  /** CONNECT properties, MQTT 5 only; a session that is not clean gets an expiry of an hour unless given. */
  readonly properties?: NonNullable<IConnectPacket['properties']>
  /** Whether messages are acknowledged by themselves, true unless given; `ack()` does it by hand. */
  readonly autoAck?: boolean
  /** Called for each message, also those that arrive together with the CONNACK. */
  readonly onMessage?: (message: MqttMessage) => void
}

/** A message as it arrived; a copy. */
export interface MqttMessage {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: Qos
  readonly retain: boolean
  readonly dup: boolean
  readonly properties: PublishProperties
  /** 0 for QoS 0. */
  readonly packetId: number
}

export interface MqttPublishOptions {
  readonly qos?: Qos
  readonly retain?: boolean
  readonly dup?: boolean
  /** The next free one unless given. */
  readonly packetId?: number
  readonly properties?: PublishProperties
  /** Called at PUBREC: from here on only the PUBREL may be sent again. */
  readonly onReceived?: () => void
}

/** An MQTT client on a bare socket, independent of any client library. */
export interface RawMqtt extends AsyncDisposable {
  readonly connack: IConnackPacket
  readonly socket: Socket
  /** Every message, in order, repeats included. */
  readonly received: MqttMessage[]
  /** Every packet other than PUBLISH, in order. */
  readonly packets: Packet[]
  /** Resolves when the socket is closed, whoever did it. */
  readonly closed: Promise<void>
  isClosed(): boolean
  /** Resolves to the granted QoS or reason codes, one per filter. */
  subscribe(
    filters: string | readonly string[],
    options?: Partial<Omit<ISubscription, 'topic'>>,
  ): Promise<number[]>
  unsubscribe(filter: string): Promise<void>
  /** Resolves at PUBACK or PUBCOMP (QoS 0: when written) to the reason code, 0 in MQTT 3.1.1. */
  publish(
    topic: string,
    payload?: string | Uint8Array,
    options?: MqttPublishOptions,
  ): Promise<number>
  /** Sends PUBREL again for a message of an earlier connection; resolves at PUBCOMP. */
  release(packetId: number): Promise<void>
  /** Publishes all with at most `window` (100, or the broker's Receive Maximum when that is less) unacknowledged; resolves when the last one is acknowledged. */
  publishAll(
    messages: Iterable<readonly [topic: string, payload: string | Uint8Array]>,
    options?: MqttPublishOptions & { window?: number },
  ): Promise<void>
  /** Answers a message by hand: PUBACK or PUBREC; PUBREL is always answered. */
  ack(message: MqttMessage): void
  /** Waits until that many messages are there, and resolves to them. */
  take(count: number, deadline?: number): Promise<MqttMessage[]>
  /** A ping round trip: what the broker had for this client before it has arrived. */
  ping(): Promise<void>
  /** Writes any packet. */
  send(packet: Packet): void
  /** DISCONNECT and close. */
  close(): Promise<void>
  /** Closes without DISCONNECT, as a crash does: a will is sent. */
  destroy(): Promise<void>
}

/** Connects; rejects with the return code when the broker refuses. */
export async function connectMqtt(options: RawMqttOptions): Promise<RawMqtt> {
  const client = new RawMqttClient(options)
  try {
    await within('CONNACK', 10_000, client.open())
  } catch (error) {
    client.socket.destroy()
    throw error
  }
  return client
}

let clients = 0

class RawMqttClient implements RawMqtt {
  connack: IConnackPacket = { cmd: 'connack', sessionPresent: false }
  readonly socket: Socket
  readonly received: MqttMessage[] = []
  readonly packets: Packet[] = []
  readonly #options: RawMqttOptions
  readonly #version: 4 | 5
  readonly #greeting = deferred()
  readonly #end = deferred()
  #ended = false
  /** Packet id (0 for a ping) → who waits for its last answer. */
  readonly #waiting = new Map<number, Deferred<Packet>>()
  readonly #onReceived = new Map<number, () => void>()
  readonly #pings: Deferred<void>[] = []
  #lastId = 0

  constructor(options: RawMqttOptions) {
    this.#options = options
    this.#version = options.version ?? 5
    const { port, host = '127.0.0.1', tls } = options
    const servername = /^[\d.]+$/.test(host) ? 'localhost' : host
    this.socket = tls
      ? connectTls({ servername, ...tls, host, port })
      : connectTcp({ host, port, noDelay: true })
  }

  get closed(): Promise<void> {
    return this.#end.promise
  }

  isClosed(): boolean {
    return this.#ended
  }

  async open(): Promise<void> {
    const parse = parser({ protocolVersion: this.#version })
    parse.on('packet', (packet) => this.#take(packet))
    parse.on('error', (error: Error) => this.socket.destroy(error))
    this.socket.on('data', (chunk) => parse.parse(chunk))
    this.socket.on('error', (error) => this.#fail(error))
    this.socket.on('close', () => {
      this.#ended = true
      this.#fail(new Error('the broker closed the connection'))
      this.#end.resolve()
    })
    this.send(this.#connectPacket())
    await this.#greeting.promise
  }

  #connectPacket(): IConnectPacket {
    const { username, password, will, properties, clean = true } = this.#options
    const expiry = clean ? {} : { sessionExpiryInterval: 3600 }
    return {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: this.#version,
      clientId: this.#options.clientId ?? `raw-${process.pid}-${++clients}`,
      clean,
      keepalive: this.#options.keepalive ?? 0,
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password: Buffer.from(password) }),
      ...(will && { will }),
      ...(this.#version === 5 && { properties: { ...expiry, ...properties } }),
    }
  }

  #take(packet: Packet): void {
    if (packet.cmd !== 'publish') this.packets.push(packet)
    const id = packet.messageId ?? 0
    switch (packet.cmd) {
      case 'connack':
        this.#welcome(packet)
        break
      case 'publish':
        this.#deliver(packet)
        break
      case 'pubrec':
        this.#received(id, packet)
        break
      case 'pubrel':
        this.send({ cmd: 'pubcomp', messageId: id })
        break
      case 'puback':
      case 'pubcomp':
      case 'suback':
      case 'unsuback':
        this.#settle(id, packet)
        break
      case 'pingresp':
        this.#pings.shift()?.resolve()
        break
      default:
        break
    }
  }

  #welcome(packet: IConnackPacket): void {
    this.connack = packet
    const code = packet.reasonCode ?? packet.returnCode ?? 0
    if (code === 0) this.#greeting.resolve()
    else this.#greeting.reject(new Error(`connecting to MQTT: refused with code ${code}`))
  }

  #deliver(packet: IPublishPacket): void {
    const message: MqttMessage = {
      topic: packet.topic,
      payload: Buffer.from(packet.payload as Buffer),
      qos: packet.qos,
      retain: packet.retain,
      dup: packet.dup,
      properties: packet.properties ?? {},
      packetId: packet.messageId ?? 0,
    }
    this.received.push(message)
    this.#options.onMessage?.(message)
    if (this.#options.autoAck !== false) this.ack(message)
  }

  #settle(id: number, packet: Packet): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    waiting?.resolve(packet)
  }

  /** PUBREC: the broker has the message, or refuses it for good. */
  #received(id: number, packet: IPubrecPacket): void {
    this.#onReceived.get(id)?.()
    this.#onReceived.delete(id)
    if ((packet.reasonCode ?? 0) >= 0x80) this.#settle(id, packet)
    else this.send({ cmd: 'pubrel', messageId: id })
  }

  #fail(error: Error): void {
    this.#greeting.reject(error)
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
    for (const ping of this.#pings.splice(0)) ping.reject(error)
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId % 65_535) + 1
    while (this.#waiting.has(this.#lastId))
    return this.#lastId
  }

  #ask(packet: Packet & { messageId: number }): Promise<Packet> {
    if (this.#ended) return Promise.reject(new Error('the connection is closed'))
    const answer = deferred<Packet>()
    this.#waiting.set(packet.messageId, answer)
    this.send(packet)
    return answer.promise
  }

  async subscribe(
    filters: string | readonly string[],
    options: Partial<Omit<ISubscription, 'topic'>> = {},
  ): Promise<number[]> {
    const topics = typeof filters === 'string' ? [filters] : filters
    const subscriptions = topics.map((topic) => ({ qos: 2 as const, ...options, topic }))
    const packet = { cmd: 'subscribe', messageId: this.#nextId(), subscriptions } as const
    const answer = (await this.#ask(packet)) as ISubackPacket
    return answer.granted as number[]
  }

  async unsubscribe(filter: string): Promise<void> {
    await this.#ask({ cmd: 'unsubscribe', messageId: this.#nextId(), unsubscriptions: [filter] })
  }

  async publish(
    topic: string,
    payload: string | Uint8Array = '',
    options: MqttPublishOptions = {},
  ): Promise<number> {
    const { qos = 0, retain = false, dup = false, properties } = options
    const packet: IPublishPacket = {
      cmd: 'publish',
      topic,
      payload: Buffer.from(payload as Uint8Array),
      qos,
      retain,
      dup,
      ...(properties && { properties }),
    }
    if (qos === 0) {
      this.send(packet)
      return 0
    }
    const messageId = options.packetId ?? this.#nextId()
    if (options.onReceived) this.#onReceived.set(messageId, options.onReceived)
    const answer = await this.#ask({ ...packet, messageId })
    return 'reasonCode' in answer ? (answer.reasonCode ?? 0) : 0
  }

  async release(packetId: number): Promise<void> {
    await this.#ask({ cmd: 'pubrel', messageId: packetId })
  }

  async publishAll(
    messages: Iterable<readonly [topic: string, payload: string | Uint8Array]>,
    options: MqttPublishOptions & { window?: number } = {},
  ): Promise<void> {
    const open = new Set<Promise<unknown>>()
    const announced = this.connack.properties?.receiveMaximum ?? 65_535
    const window = Math.min(options.window ?? 100, announced)
    for (const [topic, payload] of messages) {
      const sent = this.publish(topic, payload, options)
      open.add(sent)
      sent.then(
        () => open.delete(sent),
        () => undefined,
      )
      if (open.size >= window) await Promise.race(open)
    }
    await Promise.all(open)
  }

  ack(message: MqttMessage): void {
    const messageId = message.packetId
    if (message.qos === 1) this.send({ cmd: 'puback', messageId })
    if (message.qos === 2) this.send({ cmd: 'pubrec', messageId })
  }

  async take(count: number, deadline?: number): Promise<MqttMessage[]> {
    const name = `${count} MQTT messages`
    await eventually(name, () => this.received.length >= count, deadline ? { deadline } : {})
    return this.received.slice(0, count)
  }

  async ping(): Promise<void> {
    if (this.#ended) throw new Error('the connection is closed')
    const pong = deferred()
    this.#pings.push(pong)
    this.send({ cmd: 'pingreq' })
    await pong.promise
  }

  send(packet: Packet): void {
    this.socket.write(generate(packet, { protocolVersion: this.#version }))
  }

  async close(): Promise<void> {
    if (this.#ended) return
    this.send({ cmd: 'disconnect' })
    this.socket.destroySoon()
    await this.#end.promise
  }

  async destroy(): Promise<void> {
    this.socket.resetAndDestroy()
    await this.#end.promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
