import type { Duplex } from 'node:stream'
import type { Channel, ChannelFacts } from './channel.ts'

/** A channel over a byte stream within the process: the way to the embedded broker. */
export class StreamChannel implements Channel {
  onChunk: Channel['onChunk'] = () => true
  onDrain: Channel['onDrain'] = () => undefined
  onOpen: Channel['onOpen'] = () => undefined
  onClose: Channel['onClose'] = () => undefined
  readonly facts: ChannelFacts
  readonly #dial: () => Duplex
  #stream: Duplex | undefined
  #error: Error | undefined
  #closed = false

  /** @param server what to call the other end in logs */
  constructor(server: string, dial: () => Duplex) {
    this.facts = { server, tlsVersion: '', certNotAfter: 0 }
    this.#dial = dial
  }

  get writableLength(): number {
    return this.#stream?.writableLength ?? 0
  }

  open(): void {
    if (this.#stream !== undefined || this.#closed) return
    const stream = this.#dial()
    this.#stream = stream
    stream.on('data', (chunk: Buffer) => {
      if (!this.onChunk(chunk)) stream.pause()
    })
    stream.on('drain', () => this.onDrain())
    stream.on('error', (error: Error) => {
      this.#error = error
    })
    stream.on('close', () => this.#close())
    stream.on('end', () => stream.destroy())
    queueMicrotask(() => {
      if (!this.#closed) this.onOpen()
    })
  }

  write(data: Buffer, done?: (error?: Error | null) => void): boolean {
    return this.#stream?.write(data, done) ?? true
  }

  resume(): void {
    this.#stream?.resume()
  }

  end(): void {
    this.#stream?.end()
  }

  destroy(error?: Error): void {
    this.#error ??= error
    if (this.#stream === undefined) this.#close()
    else this.#stream.destroy()
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.onClose(this.#error)
  }
}
