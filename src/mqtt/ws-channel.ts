import type { IncomingMessage } from 'node:http'
import type { ConnectionOptions } from 'node:tls'
import { type RawData, WebSocket } from 'ws'
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

const NORMAL_CLOSURE = 1000

/**
 * A channel over a WebSocket with subprotocol `mqtt` [MQTT-6.0.0-3]. While the owner holds reading, the
 * socket is paused.
 */
export class WsChannel implements Channel {
  onChunk: Channel['onChunk'] = () => true
  onDrain: Channel['onDrain'] = () => undefined
  onOpen: Channel['onOpen'] = () => undefined
  onClose: Channel['onClose'] = () => undefined

  readonly #endpoint: Endpoint
  readonly #maxPayload: number
  readonly #tls: ConnectionOptions | undefined
  readonly #gate = new ReadGate((chunk) => this.#deliver(chunk))
  #socket: WebSocket | undefined
  #facts: ChannelFacts
  #error: Error | undefined
  #full = false
  #destroyed = false
  #socketClosed = false
  #closed = false

  /**
   * @param maxPayload largest WebSocket message taken, bytes; a larger one ends the connection
   * @param tls options of the TLS handshake, for `wss`
   */
  constructor(endpoint: Endpoint, maxPayload: number, tls?: ConnectionOptions) {
    this.#endpoint = endpoint
    this.#maxPayload = maxPayload
    this.#tls = tls
    this.#facts = channelFacts(endpoint.server, undefined)
  }

  get facts(): ChannelFacts {
    return this.#facts
  }

  get writableLength(): number {
    return this.#socket?.bufferedAmount ?? 0
  }

  open(): void {
    if (this.#socket !== undefined || this.#closed) return
    const { transport, server, path } = this.#endpoint
    try {
      const socket = new WebSocket(`${transport}://${server}${path}`, ['mqtt'], {
        ...this.#tls,
        perMessageDeflate: false,
        maxPayload: this.#maxPayload,
      })
      this.#listen(socket)
    } catch (thrown) {
      this.destroy(thrown instanceof Error ? thrown : new Error(String(thrown)))
    }
  }

  write(data: Buffer, done?: (error?: Error | null) => void): boolean {
    const socket = this.#socket
    if (socket === undefined || socket.readyState !== WebSocket.OPEN) {
      if (done !== undefined) process.nextTick(done, notOpen())
      return false
    }
    socket.send(data, { binary: true }, (error) => {
      done?.(error)
      this.#sent()
    })
    this.#full = socket.bufferedAmount >= HIGH_WATER_MARK
    return !this.#full
  }

  resume(): void {
    if (!this.#gate.resume()) return
    this.#socket?.resume()
    if (this.#socketClosed) this.#close()
  }

  end(): void {
    if (this.#socket === undefined) this.destroy()
    else this.#socket.close(NORMAL_CLOSURE)
  }

  destroy(error?: Error): void {
    this.#error ??= error
    this.#destroyed = true
    this.#gate.clear()
    if (this.#socket === undefined || this.#socketClosed) process.nextTick(() => this.#close())
    else this.#socket.terminate()
  }

  #listen(socket: WebSocket): void {
    this.#socket = socket
    socket.binaryType = 'nodebuffer'
    socket.once('upgrade', (response: IncomingMessage) => {
      response.socket.setKeepAlive(true, TCP_KEEPALIVE_MS)
      this.#facts = channelFacts(this.#endpoint.server, response.socket)
    })
    socket.once('open', () => this.onOpen())
    socket.on('message', (data, isBinary) => this.#message(data, isBinary))
    socket.on('error', (error) => {
      this.#error ??= error
    })
    socket.once('close', () => {
      this.#socketClosed = true
      this.#close()
    })
  }

  #message(data: RawData, isBinary: boolean): void {
    if (!isBinary || !Buffer.isBuffer(data)) {
      this.destroy(
        Object.assign(new Error('a WebSocket message that is not binary'), { code: 'ERR_WS_TEXT' }),
      )
    } else if (!this.#gate.take(data)) {
      this.#socket?.pause()
    }
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

  #sent(): void {
    if (!this.#full || this.writableLength >= HIGH_WATER_MARK) return
    this.#full = false
    this.onDrain()
  }

  #close(): void {
    // What came in before an orderly end comes out before it; a broken connection waits for nobody.
    if (this.#closed || (this.#error === undefined && !this.#gate.isEmpty)) return
    this.#gate.clear()
    this.#closed = true
    this.onClose(this.#error)
  }
}
