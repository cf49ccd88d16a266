import type { Duplex } from 'node:stream'
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet'
import type { Clock } from '../../core/ports.ts'
import { Inbox, type InboxOwner } from './inbox.ts'
import type { EmbeddedLimits, EmbeddedStats } from './limits.ts'
import type { Outbox } from './outbox.ts'
import { streamPair } from './stream-pair.ts'

export interface LocalSessionOwner extends InboxOwner {
  readonly limits: EmbeddedLimits
  readonly stats: EmbeddedStats
  readonly clock: Clock
  readonly outbox: Outbox
}

/** CONNACK codes of MQTT 3.1.1 [MQTT-3.2.2.3]. */
const ACCEPTED = 0
const VERSION_REFUSED = 1

/**
 * The broker's half of the bridge's own connection: MQTT 3.1.1 over a pair of streams in memory, trusted
 * without a password. It does not go through the broker library, because that acknowledges a device's publish
 * before it hands it on; here the bridge gets it first. Messages keep their retain flag (as a bridge wants
 * them), and what the bridge publishes never comes back to it. A will in its CONNECT is ignored.
 */
export class LocalSession {
  readonly #owner: LocalSessionOwner
  readonly #inbox: Inbox
  #current: Connection | undefined
  #hasSession = false

  constructor(owner: LocalSessionOwner) {
    this.#owner = owner
    this.#inbox = new Inbox(owner)
  }

  get connected(): boolean {
    return this.#current !== undefined
  }

  /** A byte stream to the broker; the bridge begins with CONNECT on it. */
  dial(): Duplex {
    const [near, far] = streamPair()
    // errors of this stream are the other side's to notice; 'close' tells here
    far.on('error', () => undefined)
    const connection = new Connection(far, this.#owner, this.#inbox, (packet) =>
      this.#connect(connection, packet),
    )
    far.on('close', () => this.#lost(connection))
    return near
  }

  close(): void {
    this.#current?.stream.destroy()
    this.#current = undefined
  }

  /** Returns whether the session goes on; undefined when the connection is refused. */
  #connect(connection: Connection, packet: IConnectPacket): boolean | undefined {
    if (packet.protocolVersion === 5) return undefined
    this.#current?.stream.destroy()
    this.#lost(this.#current)
    this.#current = connection
    const isResumed = this.#hasSession && packet.clean === false
    this.#hasSession = packet.clean === false
    return isResumed
  }

  #lost(connection: Connection | undefined): void {
    if (connection === undefined || connection !== this.#current) return
    this.#current = undefined
    this.#owner.outbox.detach()
  }
}

class Connection {
  readonly stream: Duplex
  readonly #owner: LocalSessionOwner
  readonly #inbox: Inbox
  readonly #onConnect: (packet: IConnectPacket) => boolean | undefined
  readonly #parser = parser()
  #connected = false
  #frames: Buffer[] = []
  #bytes = 0

  constructor(
    stream: Duplex,
    owner: LocalSessionOwner,
    inbox: Inbox,
    onConnect: (packet: IConnectPacket) => boolean | undefined,
  ) {
    this.stream = stream
    this.#owner = owner
    this.#inbox = inbox
    this.#onConnect = onConnect
    this.#parser.on('packet', (packet: Packet) => this.#handle(packet))
    this.#parser.on('error', () => stream.destroy())
    stream.on('data', (chunk: Buffer) => this.#take(chunk))
  }

  #take(chunk: Buffer): void {
    try {
      this.#parser.parse(chunk)
    } catch {
      this.stream.destroy()
    }
  }

  #handle(packet: Packet): void {
    if (this.stream.destroyed) return
    if (packet.cmd === 'connect') {
      this.#connect(packet)
      return
    }
    if (!this.#connected) {
      this.stream.destroy() // [MQTT-3.1.0-1]
      return
    }
    switch (packet.cmd) {
      case 'publish':
        this.#inbox.publish(packet, (frame) => this.#write(frame), this.stream)
        break
      case 'pubrel':
        this.#inbox.release(packet.messageId ?? 0, (frame) => this.#write(frame))
        break
      case 'puback':
        this.#owner.outbox.acknowledged(packet.messageId ?? 0)
        break
      case 'pubrec':
        this.#owner.outbox.received(packet.messageId ?? 0)
        break
      case 'pubcomp':
        this.#owner.outbox.completed(packet.messageId ?? 0)
        break
      default:
        this.#control(packet)
    }
  }

  #control(packet: Packet): void {
    const messageId = packet.messageId ?? 0
    switch (packet.cmd) {
      case 'subscribe': {
        const granted = packet.subscriptions.map(({ qos }) => qos)
        this.#write(generate({ cmd: 'suback', messageId, granted }))
        this.#owner.outbox.subscribe(packet.subscriptions, this.#owner.retained())
        return
      }
      case 'unsubscribe':
        this.#owner.outbox.unsubscribe(packet.unsubscriptions)
        this.#write(generate({ cmd: 'unsuback', messageId, granted: [] }))
        return
      case 'pingreq':
        this.#write(generate({ cmd: 'pingresp' }))
        return
      case 'disconnect':
        this.#flush()
        this.stream.end()
        return
      default:
        this.stream.destroy()
    }
  }

  #connect(packet: IConnectPacket): void {
    if (this.#connected) {
      this.stream.destroy() // [MQTT-3.1.0-2]
      return
    }
    const isResumed = this.#onConnect(packet)
    const returnCode = isResumed === undefined ? VERSION_REFUSED : ACCEPTED
    this.#write(generate({ cmd: 'connack', returnCode, sessionPresent: isResumed === true }))
    if (isResumed === undefined) {
      this.#flush()
      this.stream.end()
      return
    }
    this.#connected = true
    this.#inbox.begin(isResumed)
    this.#owner.outbox.attach((frame) => this.#write(frame), isResumed)
  }

  /** Gathers what is written in one turn, since each write is a hand-over of its own. */
  #write(frame: Buffer): boolean {
    if (this.stream.destroyed || this.stream.writableEnded) return false
    if (this.#frames.length === 0) process.nextTick(() => this.#flush())
    this.#frames.push(frame)
    this.#bytes += frame.length
    return this.#hasRoom()
  }

  #flush(): void {
    if (this.#frames.length === 0) return
    const bytes = Buffer.concat(this.#frames, this.#bytes)
    this.#frames = []
    this.#bytes = 0
    if (this.stream.destroyed || this.stream.writableEnded) return
    this.stream.write(bytes, () => this.#drained())
  }

  #drained(): void {
    if (this.#connected && this.#hasRoom() && !this.stream.destroyed) this.#owner.outbox.drained()
  }

  #hasRoom(): boolean {
    return this.#bytes + this.stream.writableLength < this.#owner.limits.maxTowardBridge
  }
}
