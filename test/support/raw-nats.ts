import { randomUUID } from 'node:crypto'
import { connect as connectTcp, Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { fromSeed } from 'nkeys.js'
import { type Deferred, deferred } from './deferred.ts'
import { eventually, within } from './eventually.ts'
import { type Frame, type NatsMessage, NatsParser } from './nats-parser.ts'

/** How to connect. */
export interface RawNatsOptions {
  readonly port: number
  readonly host?: string
  /** TLS settings of Node; `handshakeFirst` speaks TLS before INFO. */
  readonly tls?: ConnectionOptions & { handshakeFirst?: boolean }
  readonly jwt?: string
  /** Signs the server's nonce; leave it out for a bearer JWT. */
  readonly seed?: string
  readonly user?: string
  readonly pass?: string
  readonly token?: string
  readonly name?: string
  /** Whether own publishes come back to own subscriptions, true unless given. */
  readonly echo?: boolean
}

/** One subscription and what it received. */
export interface NatsSubscription {
  readonly sid: number
  readonly received: NatsMessage[]
  /** Waits until that many messages are there, and resolves to them. */
  take(count: number, deadline?: number): Promise<NatsMessage[]>
  /** Called for each message; set it before the first one. */
  onMessage: (message: NatsMessage) => void
  unsubscribe(): void
}

export type Headers = Readonly<Record<string, string>>

/** A NATS client on a bare socket, independent of any client library. */
export interface RawNats extends AsyncDisposable {
  readonly info: Record<string, unknown>
  readonly socket: Socket
  /** Every message of every subscription, in order. */
  readonly received: NatsMessage[]
  /** Texts of `-ERR`. */
  readonly errors: string[]
  /** Resolves when the socket is closed, whoever did it. */
  readonly closed: Promise<void>
  isClosed(): boolean
  subscribe(subject: string, queue?: string): NatsSubscription
  /** Writes one message; `flush()` tells that the server has it. */
  publish(subject: string, data?: string | Uint8Array, options?: PublishOptions): void
  request(
    subject: string,
    data?: string | Uint8Array,
    options?: { headers?: Headers; deadline?: number },
  ): Promise<NatsMessage>
  /** Resolves when the server has taken everything written so far. */
  flush(): Promise<void>
  /** Writes any bytes. */
  send(bytes: string | Uint8Array): void
  close(): Promise<void>
}

export interface PublishOptions {
  readonly headers?: Headers
  readonly reply?: string
}

/** Value of a header, or undefined; the name is compared exactly, as NATS does. */
export function header(message: NatsMessage, name: string): string | undefined {
  return message.headers.find(([key]) => key === name)?.[1]
}

/** Connects and logs in; rejects with the server's `-ERR` text when it refuses. */
export async function connectNats(options: RawNatsOptions): Promise<RawNats> {
  const client = new RawNatsClient()
  try {
    await within('the NATS server to answer', 10_000, client.open(options))
  } catch (error) {
    client.socket.destroy()
    throw error
  }
  return client
}

class RawNatsClient implements RawNats {
  readonly received: NatsMessage[] = []
  readonly errors: string[] = []
  info: Record<string, unknown> = {}
  // Stands here until `open()` has made the real one.
  socket: Socket = new Socket()
  readonly #end = deferred()
  #ended = false
  readonly #subscriptions = new Map<number, NatsSubscription>()
  readonly #pongs: Deferred<void>[] = []
  readonly #greeting = deferred<void>()
  #parser = new NatsParser((frame) => this.#take(frame))
  #lastSid = 0
  readonly #inbox = `_INBOX.${randomUUID().replaceAll('-', '')}`
  readonly #requests = new Map<string, Deferred<NatsMessage>>()
  #inboxSubscribed = false

  get closed(): Promise<void> {
    return this.#end.promise
  }

  isClosed(): boolean {
    return this.#ended
  }

  async open(options: RawNatsOptions): Promise<void> {
    const host = options.host ?? '127.0.0.1'
    const { handshakeFirst, ...tls } = options.tls ?? {}
    const name = /^[\d.]+$/.test(host) ? 'localhost' : host
    if (handshakeFirst) {
      this.#attach(connectTls({ servername: name, ...tls, host, port: options.port }))
    } else {
      this.#attach(connectTcp({ host, port: options.port }))
    }
    await this.#greeting.promise
    if (options.tls && !handshakeFirst) {
      const plain = this.socket
      plain.removeAllListeners()
      this.#attach(connectTls({ servername: name, ...tls, socket: plain }))
    }
    // In one write: a server that refuses the login must not leave bytes unread, or the reset that
    // follows overtakes its `-ERR`.
    await this.#flushAfter(`CONNECT ${JSON.stringify(this.#login(options))}\r\n`)
  }

  #attach(socket: Socket): void {
    this.socket = socket
    this.#parser = new NatsParser((frame) => this.#take(frame))
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#parser.push(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => {
      this.#ended = true
      this.#fail(new Error(`the server closed the connection: ${this.errors.join(', ')}`))
      this.#end.resolve()
    })
  }

  #login(options: RawNatsOptions): object {
    const { jwt, seed } = options
    const nonce = Buffer.from(String(this.info['nonce'] ?? ''))
    const sign = (s: string) => fromSeed(Buffer.from(s)).sign(nonce)
    return {
      verbose: false,
      pedantic: false,
      protocol: 1,
      headers: true,
      no_responders: true,
      lang: 'raw',
      version: '1',
      echo: options.echo ?? true,
      ...(options.name && { name: options.name }),
      ...(jwt && { jwt }),
      ...(seed && { sig: Buffer.from(sign(seed)).toString('base64url') }),
      ...(options.user && { user: options.user, pass: options.pass ?? '' }),
      ...(options.token && { auth_token: options.token }),
    }
  }

  #take(frame: Frame): void {
    switch (frame.kind) {
      case 'INFO':
        this.info = JSON.parse(frame.text) as Record<string, unknown>
        this.#greeting.resolve()
        break
      case 'PING':
        this.send('PONG\r\n')
        break
      case 'PONG':
        this.#pongs.shift()?.resolve()
        break
      case 'ERR':
        this.errors.push(frame.text)
        break
      case 'MSG':
        this.#deliver(frame.message)
        break
      case 'OK':
        break
    }
  }

  #deliver(message: NatsMessage): void {
    const waiting = this.#requests.get(message.subject)
    if (waiting !== undefined) {
      this.#requests.delete(message.subject)
      waiting.resolve(message)
      return
    }
    const subscription = this.#subscriptions.get(message.sid)
    if (subscription === undefined) return
    this.received.push(message)
    subscription.received.push(message)
    subscription.onMessage(message)
  }

  #fail(error: Error): void {
    this.#greeting.reject(error)
    for (const pong of this.#pongs.splice(0)) pong.reject(error)
    for (const waiting of this.#requests.values()) waiting.reject(error)
    this.#requests.clear()
  }

  subscribe(subject: string, queue = ''): NatsSubscription {
    const sid = ++this.#lastSid
    const received: NatsMessage[] = []
    const subscription: NatsSubscription = {
      sid,
      received,
      take: async (count, deadline) => {
        const name = `${count} messages on '${subject}'`
        await eventually(name, () => received.length >= count, deadline ? { deadline } : {})
        return received.slice(0, count)
      },
      onMessage: () => undefined,
      unsubscribe: () => {
        this.#subscriptions.delete(sid)
        this.send(`UNSUB ${sid}\r\n`)
      },
    }
    this.#subscriptions.set(sid, subscription)
    this.send(`SUB ${subject} ${queue ? `${queue} ` : ''}${sid}\r\n`)
    return subscription
  }

  publish(subject: string, data: string | Uint8Array = '', options: PublishOptions = {}): void {
    const body = Buffer.from(data as Uint8Array)
    const reply = options.reply ? ` ${options.reply}` : ''
    if (options.headers === undefined) {
      this.send(
        Buffer.concat([Buffer.from(`PUB ${subject}${reply} ${body.length}\r\n`), body, CRLF]),
      )
      return
    }
    const lines = Object.entries(options.headers).map(([key, value]) => `${key}: ${value}\r\n`)
    const head = Buffer.from(`NATS/1.0\r\n${lines.join('')}\r\n`)
    const sizes = `${head.length} ${head.length + body.length}`
    const verb = Buffer.from(`HPUB ${subject}${reply} ${sizes}\r\n`)
    this.send(Buffer.concat([verb, head, body, CRLF]))
  }

  async request(
    subject: string,
    data: string | Uint8Array = '',
    options: { headers?: Headers; deadline?: number } = {},
  ): Promise<NatsMessage> {
    if (!this.#inboxSubscribed) {
      this.#inboxSubscribed = true
      this.send(`SUB ${this.#inbox}.* ${++this.#lastSid}\r\n`)
    }
    if (this.#ended) throw new Error('the connection is closed')
    const reply = `${this.#inbox}.${randomUUID().slice(0, 13)}`
    const answer = deferred<NatsMessage>()
    this.#requests.set(reply, answer)
    this.publish(subject, data, { reply, ...(options.headers && { headers: options.headers }) })
    try {
      return await within(`an answer on '${subject}'`, options.deadline ?? 5_000, answer.promise)
    } finally {
      this.#requests.delete(reply)
    }
  }

  flush(): Promise<void> {
    return this.#flushAfter('')
  }

  #flushAfter(line: string): Promise<void> {
    if (this.#ended) return Promise.reject(new Error('the connection is closed'))
    const pong = deferred()
    this.#pongs.push(pong)
    this.send(`${line}PING\r\n`)
    return pong.promise
  }

  send(bytes: string | Uint8Array): void {
    this.socket.write(bytes)
  }

  async close(): Promise<void> {
    if (this.#ended) return
    this.socket.end()
    this.socket.destroySoon()
    await this.#end.promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

const CRLF = Buffer.from('\r\n')
