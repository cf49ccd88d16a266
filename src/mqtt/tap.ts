import { Duplex } from 'node:stream'
import { type BridgeError, toBridgeError } from '../core/errors.ts'
import { type FrameReader, FrameSplitter } from '../core/frame-splitter.ts'
import type { MqttHandler } from '../core/lanes.ts'
import { MessageView } from '../core/message-view.ts'
import type { Clock } from '../core/ports.ts'
import type { Channel } from './channel.ts'
import { bodyStart, malformed, PacketType, packetLength, readPublish } from './frames.ts'
import { Moderation } from './moderation.ts'
import { TopicAliases } from './topic-aliases.ts'

/** Packet ids from here on are ours; the library keeps the ones below for SUBSCRIBE. */
export const FIRST_PACKET_ID = 256

/** Bytes waiting in the socket above which the source on the other side is held. */
const HIGH_WATER = 1024 * 1024

/** A PUBLISH cut to its head still has its topic: fixed header, longest topic, packet id. */
const HEAD_BYTES = 5 + 2 + 65_535 + 2

/** What a connection's tap tells its owner. */
export interface MqttTapHost extends MqttHandler {
  /** PUBACK, PUBREC or PUBCOMP for a message of ours. */
  onAcknowledgement(type: number, packetId: number, reason: number): void
  /** PUBREL for a message of QoS 2 the broker sent. */
  onRelease(packetId: number): void
  onAcknowledgementsEnd(): void
  onDrain(): void
  /** Reading stopped, for as long as the host pleases. */
  onStopped(): void
  /** Whether messages are taken at all: false until it is known what becomes of them. */
  readonly accepting: boolean
  /** A PUBLISH above the largest packet taken; `length` is that of the whole packet. Returns false to stop reading. */
  onOversize(view: MessageView, length: number): boolean
}

/**
 * What the MQTT library takes for its socket. PUBLISH and its acknowledgements are taken out of what comes
 * in, and handed to the host; every other packet passes through to the library, and what the library writes
 * passes through to the broker. Our own packets go out between the library's, never inside one.
 */
export class MqttTap extends Duplex implements FrameReader {
  readonly maxFrame: number
  readonly headBytes = HEAD_BYTES
  readonly #channel: Channel
  readonly #host: MqttTapHost
  readonly #clock: Clock
  readonly #view = new MessageView()
  readonly #extras = { topicAlias: 0 }
  readonly #aliases: TopicAliases
  readonly #splitter = new FrameSplitter(this)
  readonly #moderation: Moderation
  #v5 = false
  #blocked = false
  /** The host said stop; {@link release} goes on. */
  #stopped = false
  #gathering: (() => void) | undefined
  #failure: BridgeError | undefined

  constructor(
    channel: Channel,
    host: MqttTapHost,
    options: { clock: Clock; maxPacketSize: number; topicAliasMaximum: number },
  ) {
    super({ decodeStrings: true, autoDestroy: true })
    this.#channel = channel
    this.#host = host
    this.#clock = options.clock
    this.#moderation = new Moderation(options.clock)
    // a packet below the head's size is never cut
    this.maxFrame = Math.max(options.maxPacketSize, HEAD_BYTES)
    this.#aliases = new TopicAliases(options.topicAliasMaximum)
    channel.onChunk = (chunk) => this.#read(chunk)
    channel.onDrain = () => this.#drained()
    channel.onOpen = () => this.emit('connect')
    channel.onClose = (error) => this.#closed(error)
  }

  /** More is waiting in the socket than should be. */
  get blocked(): boolean {
    return this.#blocked
  }

  /** Reading is stopped until {@link release}. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** The host's protocol is MQTT 5, as the CONNECT said. */
  get v5(): boolean {
    return this.#v5
  }

  /** Writes whole packets of ours. */
  send(packets: Buffer): void {
    if (this.destroyed) return
    this.#channel.write(packets)
    if (this.#channel.writableLength > HIGH_WATER) this.#blocked = true
  }

  /** Goes on reading after the host had said stop. */
  release(): void {
    if (!this.#stopped || this.destroyed) return
    this.#stopped = false
    const goOn = this.#guarded(() => this.#splitter.resume())
    if (this.#settleBatch(goOn)) this.#channel.resume()
  }

  frameLength(buffer: Buffer, at: number, end: number): number {
    return packetLength(buffer, at, end)
  }

  headStep(): number {
    return 1
  }

  takes(buffer: Buffer, at: number): boolean {
    return (buffer[at] as number) >> 4 !== PacketType.publish || this.#host.accepting
  }

  onFrame(buffer: Buffer, at: number, end: number): boolean {
    switch ((buffer[at] as number) >> 4) {
      case PacketType.publish:
        return this.#publish(buffer, at, end)
      case PacketType.puback:
      case PacketType.pubrec:
      case PacketType.pubcomp:
        return this.#acknowledgement(buffer, at, end)
      case PacketType.pubrel:
        this.#host.onRelease(idOf(buffer, at, end))
        return true
      default:
        this.push(Buffer.from(buffer.subarray(at, end)))
        return true
    }
  }

  onOversize(buffer: Buffer, at: number, end: number, length: number): boolean {
    const type = (buffer[at] as number) >> 4
    if (type !== PacketType.publish)
      throw malformed(`a packet of type ${type} with ${length} bytes`)
    readPublish(buffer, at, end, false, this.#view, this.#extras)
    return this.#host.onOversize(this.#view, length)
  }

  override _read(): void {
    // the channel is read by its own rules; the library's packets are few
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this._writev([{ chunk }], done)
  }

  /** The library writes a packet in pieces: they go out in one, so that nothing of ours gets between. */
  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const bytes = Buffer.concat(chunks.map(({ chunk }) => chunk))
    if ((bytes[0] as number) >> 4 === PacketType.connect) this.#readConnect(bytes)
    this.#channel.write(bytes)
    done()
  }

  override _final(done: () => void): void {
    this.#channel.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#gathering?.()
    this.#channel.destroy(error ?? undefined)
    done(this.#failure ?? error)
  }

  /** Protocol level of the CONNECT, without the bridge bit [MQTT-3.1.2.2]. */
  #readConnect(bytes: Buffer): void {
    const name = bodyStart(bytes, 0)
    const level = name + 2 + bytes.readUInt16BE(name)
    this.#v5 = ((bytes[level] as number) & 0x7f) === 5
  }

  #publish(buffer: Buffer, at: number, end: number): boolean {
    readPublish(buffer, at, end, this.#v5, this.#view, this.#extras)
    if (this.#extras.topicAlias > 0 || this.#view.nameStart === this.#view.nameEnd) {
      this.#aliases.resolve(this.#view, this.#extras.topicAlias)
    }
    this.#moderation.count()
    return this.#host.onMessage(this.#view)
  }

  #acknowledgement(buffer: Buffer, at: number, end: number): boolean {
    const packetId = idOf(buffer, at, end)
    const body = bodyStart(buffer, at)
    const reason = end - body > 2 ? (buffer[body + 2] as number) : 0
    this.#host.onAcknowledgement((buffer[at] as number) >> 4, packetId, reason)
    return true
  }

  #read(chunk: Buffer): boolean {
    const goOn = this.#guarded(() => this.#splitter.feed(chunk))
    if (!this.#settleBatch(goOn)) return false
    const pause = this.#moderation.pause(chunk.length)
    if (pause === 0) return true
    this.#gathering = this.#clock.after(pause, () => {
      this.#gathering = undefined
      if (!this.#stopped) this.#channel.resume()
    })
    return false
  }

  /**
   * Ends the batch with the host, and goes on with what the host stopped before when the end made room.
   * Returns whether to read on.
   */
  #settleBatch(complete: boolean): boolean {
    let goOn = complete
    for (;;) {
      // also of a connection that broke within the batch: what was taken before goes on its way
      this.#host.onAcknowledgementsEnd()
      this.#stopped = !this.#host.onBatchEnd() || !(goOn || this.#host.accepting)
      if (this.destroyed) return false
      if (this.#stopped) {
        this.#host.onStopped()
        return false
      }
      if (goOn) return this.#gathering === undefined
      goOn = this.#guarded(() => this.#splitter.resume())
    }
  }

  #guarded(read: () => boolean): boolean {
    try {
      return read()
    } catch (error) {
      this.#failure = toBridgeError(error)
      this.destroy(this.#failure)
      return false
    }
  }

  #drained(): void {
    this.#blocked = false
    this.#host.onDrain()
  }

  #closed(error: Error | undefined): void {
    if (error !== undefined) this.destroy(error)
    else {
      this.push(null)
      this.destroy()
    }
  }
}

function idOf(buffer: Buffer, at: number, end: number): number {
  const body = bodyStart(buffer, at)
  if (body + 2 > end) throw malformed('an acknowledgement without a packet id')
  return buffer.readUInt16BE(body)
}
