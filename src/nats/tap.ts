import { toBridgeError } from '../core/errors.ts'
import { type FrameReader, FrameSplitter } from '../core/frame-splitter.ts'
import { MessageView } from '../core/message-view.ts'
import { countPings, Frame, FrameScanner } from './frames.ts'
import { SessionTransport } from './session-transport.ts'

/** Subscription ids from here on are ours; the library counts from 1. */
export const FIRST_SID = 1_000_000

/** Bytes waiting in the socket above which the sources on the other side are held. */
const HIGH_WATER = 1024 * 1024

/** What a connection's tap tells its owner. */
export interface NatsTapHost {
  /** A message of our own subscription `sid - FIRST_SID`; the view is valid until this returns. */
  onMessage(subscription: number, view: MessageView): void
  /** All messages of a chunk have been handed over. */
  onBatchEnd(): void
  /** The server has worked off everything written before the PING that carried this position. */
  onPong(position: number): void
  /** The text of an `-ERR`, in order with the messages and PONGs around it. */
  onServerError(text: string): void
  /** The socket took what was waiting. */
  onDrain(): void
  /** Largest message the server may send, bytes. */
  maxMessage(): number
}

const LIBRARY = -1
const PING = Buffer.from('PING\r\n')

/**
 * The library's transport with our message lane on the same socket: MSG and HMSG of our subscriptions and
 * the PONGs of our PINGs are taken out of what it reads, everything else goes on to the library untouched.
 */
export class NatsTap extends SessionTransport implements FrameReader {
  readonly maxFrame = Number.POSITIVE_INFINITY
  readonly headBytes = 0
  readonly #host: NatsTapHost
  readonly #view = new MessageView()
  readonly #scanner: FrameScanner
  readonly #splitter = new FrameSplitter(this)
  /** Who wrote each PING that is not answered yet: a position of ours, or the library. */
  readonly #pings: number[] = []
  #blocked = false
  #chunk: Buffer | undefined
  /** Range of the chunk at hand that belongs to the library. */
  #passBuffer: Buffer | undefined
  #passStart = 0
  #passEnd = 0

  constructor(host: NatsTapHost) {
    super()
    this.#host = host
    this.#scanner = new FrameScanner(this.#view, () => host.maxMessage())
  }

  override setupHandlers(): void {
    super.setupHandlers()
    // the library's own reader is replaced: what is its own reaches it through #pass
    this.socket.removeAllListeners('data')
    this.socket.on('data', (chunk: Buffer) => this.#read(chunk))
    this.socket.on('drain', () => {
      this.#blocked = false
      this.#host.onDrain()
    })
  }

  override send(frame: Uint8Array): void {
    for (let pings = countPings(frame); pings > 0; pings--) this.#pings.push(LIBRARY)
    super.send(frame)
  }

  /** Writes whole frames of ours. Returns false above the high-water mark; `onDrain` follows. */
  write(bytes: Buffer): boolean {
    if (this.done || this.socket === undefined) return true
    this.socket.write(bytes)
    if (this.socket.writableLength > HIGH_WATER) this.#blocked = true
    return !this.#blocked
  }

  /** True while more is waiting in the socket than it should. */
  get blocked(): boolean {
    return this.#blocked
  }

  /** Asks the server to say when it has worked off everything written so far. */
  ping(position: number): void {
    this.#pings.push(position)
    this.write(PING)
  }

  /** Stops and resumes reading, for a far side that cannot take more. */
  pause(): void {
    this.socket?.pause()
  }

  unpause(): void {
    this.socket?.resume()
  }

  frameLength(buffer: Buffer, at: number, end: number): number {
    return this.#scanner.measure(buffer, at, end)
  }

  headStep(chunk: Buffer, at: number): number {
    const newline = chunk.indexOf(10, at)
    return newline < 0 ? chunk.length - at : newline + 1 - at
  }

  onFrame(buffer: Buffer, at: number, end: number): boolean {
    const { kind, sid } = this.#scanner
    if (kind === Frame.message && sid >= FIRST_SID)
      this.#host.onMessage(sid - FIRST_SID, this.#view)
    else if (kind === Frame.pong) this.#pong(buffer, at, end)
    else {
      if (kind === Frame.error) this.#host.onServerError(buffer.utf8Slice(at, end))
      this.#pass(buffer, at, end)
    }
    return true
  }

  takes(): boolean {
    return true
  }

  onOversize(): boolean {
    return true
  }

  #pong(buffer: Buffer, at: number, end: number): void {
    const position = this.#pings.shift()
    if (position === undefined || position === LIBRARY) this.#pass(buffer, at, end)
    else this.#host.onPong(position)
  }

  #read(chunk: Buffer): void {
    this.#chunk = chunk
    try {
      this.#splitter.feed(chunk)
    } catch (error) {
      // what was taken before goes on its way
      this.socket?.destroy(toBridgeError(error))
    }
    this.#passOn()
    this.#chunk = undefined
    this.#host.onBatchEnd()
  }

  /** Gives a frame to the library; neighbours go in one piece. */
  #pass(buffer: Buffer, at: number, end: number): void {
    if (this.#passBuffer === buffer && this.#passEnd === at) {
      this.#passEnd = end
      return
    }
    this.#passOn()
    this.#passBuffer = buffer
    this.#passStart = at
    this.#passEnd = end
    // what crossed a border lies in the splitter's own buffer, where the end of this chunk may go next
    if (buffer !== this.#chunk) this.#passOn()
  }

  #passOn(): void {
    if (this.#passBuffer === undefined) return
    // a copy: the library's reader gets to it later
    this.yields.push(Uint8Array.from(this.#passBuffer.subarray(this.#passStart, this.#passEnd)))
    this.#passBuffer = undefined
    this.signal.resolve()
  }
}
