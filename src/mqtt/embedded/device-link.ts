import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Clock } from '../../core/ports.ts'
import { PacketType, packetLength } from '../frames.ts'
import { checkDevicePacket, PINGREQ } from './device-packets.ts'
import { InOrder } from './in-order.ts'
import type { EmbeddedLimits, EmbeddedStats } from './limits.ts'

/** Packets the broker gets of one device at a time; it handles them side by side and then asks for more. */
const BATCH_PACKETS = 64
/** Bytes of whole packets waiting for the broker before the socket is not read. */
const INBOUND_BYTES = 64 * 1024
const PINGRESP = Buffer.from([0xd0, 0])

export type CloseCause = keyof EmbeddedStats['closed']

/** What a link needs from the broker. */
export interface LinkOwner {
  readonly limits: EmbeddedLimits
  readonly clock: Clock
  /** False while no more publishes may be taken; `readOn` is called when that ends. */
  mayRead(): boolean
  /** The link closed its connection for this reason. */
  onCut(link: DeviceLink, cause: CloseCause, detail: string): void
}

/**
 * Stands between a device's socket and the broker library, because the library alone would wait for a device
 * that does not read (and all others with it), buffer packets of any size, and neither see nor answer a ping
 * while a publish waits for its acknowledgement. It lets whole, sound packets in, a bounded number at a time,
 * and takes everything out, up to a bound at which the connection is closed.
 */
export class DeviceLink extends Duplex {
  /** For logs: the address of the device. */
  readonly address: string
  /** Acknowledgements of this connection, in the order of its publishes [MQTT-4.6.0-2]. */
  readonly acks = new InOrder()
  /** Why the login is to be refused before the password is looked at: a CONNACK code. */
  refusal: number | undefined
  readonly #socket: Socket
  readonly #owner: LinkOwner
  #chunks: Buffer[] = []
  #size = 0
  /** Bytes that must be there before scanning can get on. */
  #need = 2
  #batches: Buffer[] = []
  #batchBytes = 0
  #wanted = false
  #isDelivering = false
  #connectSeen = false
  #ready = false
  #ended = false
  #heard: number
  #keepaliveMs = 0
  #callOff: (() => void) | undefined

  constructor(socket: Socket, owner: LinkOwner) {
    // one batch at a time: the library reads all there is
    super({ readableHighWaterMark: 1, writableHighWaterMark: owner.limits.maxOutbound })
    this.#socket = socket
    this.#owner = owner
    this.#heard = owner.clock.monotonic()
    this.address = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`
  }

  /** Begins to read the socket; the broker library must have its handlers on by then. */
  open(): void {
    const socket = this.#socket
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 60_000)
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', () => undefined) // 'close' follows
    socket.on('close', () => this.#peerGone())
  }

  /** The device is logged in: from here pings are answered and the keepalive is watched by the link. */
  loggedIn(): void {
    this.#ready = true
    this.#watch(this.#keepaliveMs)
  }

  /** @param seconds as the device gave it, 0 = none; it is cut off at one and a half times that [MQTT-3.1.2-24] */
  setKeepalive(seconds: number): void {
    this.#keepaliveMs = seconds * 1500
  }

  /** Publishes may be taken again. */
  readOn(): void {
    this.#deliver()
  }

  override _read(): void {
    this.#wanted = true
    this.#deliver()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#send(chunk)
    done()
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)))
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#callOff?.()
    this.#chunks = []
    this.#batches = []
    const socket = this.#socket
    if (!socket.destroyed) {
      socket.destroySoon()
      this.#callOff = this.#owner.clock.after(this.#owner.limits.linger, () => socket.destroy())
      socket.once('close', () => this.#callOff?.())
      socket.resume()
    }
    done(error)
  }

  #take(chunk: Buffer): void {
    if (this.destroyed) return
    this.#heard = this.#owner.clock.monotonic()
    this.#chunks.push(chunk)
    this.#size += chunk.length
    if (this.#size >= this.#need) {
      try {
        this.#scan(this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#size))
      } catch (thrown) {
        this.#cut('malformed', thrown instanceof Error ? thrown.message : String(thrown))
        return
      }
    }
    this.#deliver()
  }

  /** Cuts the bytes into batches of whole packets; pings are answered and left out. */
  #scan(bytes: Buffer): void {
    let at = 0
    let from = 0
    let count = 0
    this.#need = 2
    while (at < bytes.length && !this.destroyed) {
      const length = packetLength(bytes, at, bytes.length)
      if (!this.#fits(length, bytes.length - at)) break
      const isPing = this.#checkNext(bytes.subarray(at, at + length))
      if (isPing || count === BATCH_PACKETS) {
        this.#batch(bytes.subarray(from, at))
        from = isPing ? at + length : at
        count = 0
      }
      at += length
      if (!isPing) count++
    }
    if (this.destroyed) return
    this.#batch(bytes.subarray(from, at))
    this.#chunks = at === bytes.length ? [] : [bytes.subarray(at)]
    this.#size = bytes.length - at
  }

  /** Whether the next packet is there; notes how much it takes when it is not. */
  #fits(length: number, there: number): boolean {
    if (length > this.#owner.limits.maxPacketSize) {
      this.#cut('tooLarge', `a packet of ${length} bytes`)
      return false
    }
    if (length > 0 && length <= there) return true
    this.#need = length === 0 ? there + 1 : length
    return false
  }

  /** Checks one packet; true for a ping that has been answered. */
  #checkNext(packet: Buffer): boolean {
    const type = (packet[0] as number) >> 4
    if (!this.#connectSeen && type !== PacketType.connect) {
      throw new Error('the first packet is not CONNECT') // [MQTT-3.1.0-1]
    }
    this.#connectSeen = true
    checkDevicePacket(packet)
    if (type !== PINGREQ || !this.#ready) return false
    this.#send(PINGRESP)
    return true
  }

  #batch(packets: Buffer): void {
    if (packets.length === 0) return
    this.#batches.push(packets)
    this.#batchBytes += packets.length
  }

  /**
   * Hands over the next batch, never at once: the library reads on while it is still inside its parser, which
   * must not find anything then.
   */
  #deliver(): void {
    if (this.#isDelivering) return
    this.#isDelivering = true
    process.nextTick(() => {
      this.#isDelivering = false
      if (!this.destroyed) this.#handOver()
    })
  }

  #handOver(): void {
    const batch = this.#wanted && this.#owner.mayRead() ? this.#batches.shift() : undefined
    if (batch !== undefined) {
      this.#batchBytes -= batch.length
      this.#wanted = false
      this.push(batch)
    }
    if (this.#ended && this.#batches.length === 0) this.push(null)
    else if (this.#batchBytes >= INBOUND_BYTES) this.#socket.pause()
    else if (this.#socket.isPaused()) this.#socket.resume()
  }

  /** What the device sent before it went is still handled, for a while: a publish and a DISCONNECT often come with the end. */
  #peerGone(): void {
    if (this.destroyed || this.#ended) return
    this.#ended = true
    this.#callOff?.()
    this.#callOff = this.#owner.clock.after(this.#owner.limits.linger, () => this.destroy())
    this.#deliver()
  }

  #send(bytes: Buffer): void {
    const socket = this.#socket
    if (this.destroyed || !socket.writable) return
    socket.write(bytes)
    if (socket.writableLength <= this.#owner.limits.maxOutbound) return
    const waiting = socket.writableLength
    socket.destroy()
    this.#cut('slow', `${waiting} bytes waiting for a device that does not read`)
  }

  #watch(wait: number): void {
    if (this.#keepaliveMs === 0 || this.destroyed || this.#ended) return
    this.#callOff = this.#owner.clock.after(wait, () => {
      const idle = this.#owner.clock.monotonic() - this.#heard
      // a device that is not read cannot be heard
      if (this.#socket.isPaused()) this.#heard = this.#owner.clock.monotonic()
      if (idle < this.#keepaliveMs || this.#socket.isPaused()) {
        this.#watch(Math.max(1, this.#keepaliveMs - idle))
        return
      }
      this.#cut('keepalive', `nothing heard for ${Math.round(idle)} ms`)
    })
  }

  #cut(cause: CloseCause, detail: string): void {
    if (this.destroyed) return
    this.#owner.onCut(this, cause, detail)
    this.destroy()
  }
}
