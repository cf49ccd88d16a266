import { connect as connectTcp, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import {
  type Channel,
  type ChannelFacts,
  HIGH_WATER_MARK,
  notOpen,
  TCP_KEEPALIVE_MS,
} from './channel.ts'
import type { Endpoint } from './options.ts'
import { ReadGate } from './read-gate.ts'
import { channelFacts } from './tls-facts.ts'

/** One read takes up to this much; large, so that gathered reads are worth it. */
const READ_BUFFER = 256 * 1024
/** For each address of a name; Node's own 250 ms is too short for distant brokers. */
const ADDRESS_ATTEMPT_MS = 2_500

/**
 * A channel over TCP or TLS. It reads into one static buffer (`onread`): no allocation per read, and while
 * the owner holds reading, nothing is taken from the system, so that TCP itself holds the peer back.
 */
export class TcpChannel implements Channel {
  onChunk: Channel['onChunk'] = () => true
  onDrain: Channel['onDrain'] = () => undefined
  onOpen: Channel['onOpen'] = () => undefined
  onClose: Channel['onClose'] = () => undefined

  readonly #endpoint: Endpoint
  readonly #tls: ConnectionOptions | undefined
  readonly #gate = new ReadGate((chunk) => this.#deliver(chunk))
  #socket: Socket | undefined
  #facts: ChannelFacts
  #error: Error | undefined
  #destroyed = false
  #socketClosed = false
  #closed = false

  /** @param tls options of the TLS handshake; absent for plain TCP */
  constructor(endpoint: Endpoint, tls?: ConnectionOptions) {
    this.#endpoint = endpoint
    this.#tls = tls
    this.#facts = channelFacts(endpoint.server, undefined)
  }

  get facts(): ChannelFacts {
    return this.#facts
  }

  get writableLength(): number {
    return this.#socket?.writableLength ?? 0
  }

  open(): void {
    if (this.#socket !== undefined || this.#closed) return
    try {
      this.#listen(this.#connect())
    } catch (thrown) {
      this.destroy(thrown instanceof Error ? thrown : new Error(String(thrown)))
    }
  }

  write(data: Buffer, done?: (error?: Error | null) => void): boolean {
    const socket = this.#socket
    if (socket === undefined || socket.destroyed || !socket.writable) {
      if (done !== undefined) process.nextTick(done, notOpen())
      return false
    }
    return socket.write(data, done)
  }

  resume(): void {
    if (!this.#gate.resume()) return
    this.#socket?.resume()
    if (this.#socketClosed) this.#close()
  }

  end(): void {
    if (this.#socket === undefined) this.destroy()
    else this.#socket.end()
  }

  destroy(error?: Error): void {
    this.#error ??= error
    this.#destroyed = true
    this.#gate.clear()
    if (this.#socket === undefined || this.#socketClosed) process.nextTick(() => this.#close())
    else this.#socket.destroy()
  }

  #connect(): Socket {
    const buffer = Buffer.allocUnsafeSlow(READ_BUFFER)
    const options = {
      host: this.#endpoint.host,
      port: this.#endpoint.port,
      highWaterMark: HIGH_WATER_MARK,
      autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
      onread: {
        buffer,
        callback: (size: number): boolean => this.#gate.take(buffer.subarray(0, size)),
      },
    }
    return this.#tls === undefined
      ? connectTcp(options)
      : connectTls({ ...this.#tls, ...options } as ConnectionOptions)
  }

  #listen(socket: Socket): void {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.setKeepAlive(true, TCP_KEEPALIVE_MS)
    socket.once(this.#tls === undefined ? 'connect' : 'secureConnect', () => {
      this.#facts = channelFacts(this.#endpoint.server, socket)
      this.onOpen()
    })
    socket.on('drain', () => this.onDrain())
    socket.on('error', (error) => {
      this.#error ??= error
    })
    socket.once('close', () => {
      this.#socketClosed = true
      this.#close()
    })
    // The bytes go to `onread`; the stream itself must flow all the same, to notice the end.
    socket.resume()
  }

  #deliver(chunk: Buffer): boolean {
    if (this.#destroyed) return false
    try {
      return this.onChunk(chunk)
    } catch (thrown) {
      this.destroy(thrown instanceof Error ? thrown : new Error(String(thrown)))
      return false
    }
  }

  #close(): void {
    // What came in before an orderly end comes out before it; a broken connection waits for nobody.
    if (this.#closed || (this.#error === undefined && !this.#gate.isEmpty)) return
    this.#gate.clear()
    this.#closed = true
    this.onClose(this.#error)
  }
}
