import type { Duplex } from 'node:stream'
import { type IClientOptions, type IConnackPacket, MqttClient, type Packet } from 'mqtt'
import { BridgeError, toBridgeError } from '../core/errors.ts'
import type { Clock } from '../core/ports.ts'
import type { Channel } from './channel.ts'
import type { Dialect } from './dialects.ts'
import {
  channelError,
  connackError,
  disconnectError,
  libraryError,
  protocolError,
  refusesVersion,
  type Stage,
  timeoutError,
} from './errors.ts'
import { LibraryGuard } from './library-guard.ts'
import { linkFacts, type MqttLinkFacts } from './link-facts.ts'

/** Milliseconds for DISCONNECT to go out and the peer to close. */
const LEAVE_TIMEOUT = 2_000
const DISCONNECT_NORMAL = 0

/** What only a client may send, or what nobody asked for. */
const NOT_FROM_A_BROKER: ReadonlySet<string> = new Set([
  'connect',
  'subscribe',
  'unsubscribe',
  'pingreq',
])

/** Why a connection is no more. */
export interface ConnectionEnd {
  readonly error: BridgeError
  /** The broker said that it does not speak the version. */
  readonly versionRefused: boolean
  /** The broker closed on our CONNECT without saying anything. */
  readonly silent: boolean
}

/** What a connection is made of and tells. */
export interface ConnectionSetup {
  readonly channel: Channel
  readonly options: IClientOptions
  readonly dialect: Dialect
  /** Milliseconds from dialling to CONNACK. */
  readonly connectTimeout: number
  readonly clock: Clock
  /** Puts the message lane on the open channel; returns what is left for the client library. */
  readonly wrap: (channel: Channel) => Duplex
  /** The broker accepted us. Called while CONNACK is read, before the bytes after it. */
  readonly up: (facts: MqttLinkFacts) => void
  /** Once, whatever happened; nothing is called after it. */
  readonly ended: (end: ConnectionEnd) => void
  /** Seconds from a ping to its answer. */
  readonly rtt: (seconds: number) => void
}

/**
 * One connection attempt and what comes of it: a channel, the message lane on it, and one client of the
 * `mqtt` library for everything that is no message. Whatever goes wrong ends in one call of `ended`.
 */
export class Connection {
  readonly #setup: ConnectionSetup
  readonly #server: string
  readonly #guard = new LibraryGuard((error) => this.#libraryFailed(error))
  readonly #waiting: (() => void)[] = []
  #client: MqttClient | undefined
  #stream: Duplex | undefined
  #facts: MqttLinkFacts | undefined
  #stage: Stage = 'dialling'
  #heard = false
  #leaving = false
  #ended = false
  #pingedAt = 0
  #cancelTimer: () => void = () => undefined

  constructor(setup: ConnectionSetup) {
    this.#setup = setup
    this.#server = setup.channel.facts.server
  }

  /** Dials. */
  open(): void {
    const { channel, clock, connectTimeout } = this.#setup
    this.#cancelTimer = clock.after(connectTimeout, () =>
      this.abort(timeoutError(this.#server, connectTimeout, this.#stage)),
    )
    channel.onOpen = () => this.#opened()
    channel.onClose = (error) => this.#channelClosed(error)
    channel.open()
  }

  /** The library's client and the facts, once it may be used; undefined when the connection ended before. */
  async whenUsable(): Promise<{ client: MqttClient; facts: MqttLinkFacts } | undefined> {
    if (this.#client?.connected !== true && !this.#ended) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    const client = this.#client
    const facts = this.#facts
    return this.#ended || client === undefined || facts === undefined
      ? undefined
      : { client, facts }
  }

  /**
   * Pings now and takes the peer for alive until the next keepalive: for the time in which the message lane
   * holds reading, so that the answer cannot get through.
   */
  keepAlive(): void {
    const client = this.#client
    if (client?.connected !== true) return
    client.sendPing()
    client.reschedulePing(true)
    // The answer waits behind the messages: its time says nothing.
    this.#pingedAt = 0
  }

  /** Says good-bye and closes; the session stays with the broker. */
  leave(): void {
    if (this.#ended || this.#leaving) return
    this.#leaving = true
    const client = this.#client
    if (client?.connected !== true) {
      this.abort(this.#leftError())
      return
    }
    // The library would wait for answers that are still out.
    for (const id of Object.keys(client.outgoing)) client.removeOutgoingMessage(Number(id))
    const isMqtt5 = this.#setup.dialect.protocolVersion === 5
    client.end(false, isMqtt5 ? { reasonCode: DISCONNECT_NORMAL } : {})
    this.#cancelTimer = this.#setup.clock.after(LEAVE_TIMEOUT, () => this.abort(this.#leftError()))
  }

  /** Ends the connection at once, for this reason. */
  abort(error: BridgeError, end: Partial<ConnectionEnd> = {}): void {
    if (this.#ended) return
    this.#ended = true
    this.#cancelTimer()
    this.#stream?.destroy()
    this.#setup.channel.destroy()
    this.#usable()
    this.#setup.ended({
      error: this.#leaving ? this.#leftError() : error,
      versionRefused: end.versionRefused ?? false,
      silent: end.silent ?? false,
    })
  }

  #opened(): void {
    if (this.#ended) return
    this.#stage = 'opened'
    try {
      const stream = this.#wrap()
      const client = new MqttClient(() => stream, this.#setup.options)
      this.#client = client
      this.#listen(client)
      client.connect()
    } catch (thrown) {
      this.abort(toBridgeError(thrown))
    }
  }

  #wrap(): Duplex {
    const { channel, wrap } = this.#setup
    const closed = channel.onClose
    const stream = wrap(channel)
    // The message lane has its own handler by now; both are told.
    const laneClosed = channel.onClose
    channel.onClose = (error) => {
      if (laneClosed !== closed) laneClosed(error)
      closed(error)
    }
    this.#stream = stream
    this.#guard.watch(stream)
    stream.on('error', (error) => this.#libraryFailed(error))
    stream.on('close', () => this.#channelClosed(undefined))
    return stream
  }

  #listen(client: MqttClient): void {
    const { dialect, clock } = this.#setup
    client.on('error', (error) => this.#libraryFailed(error))
    client.on('connect', () => this.#usable())
    client.on('packetsend', (packet) => {
      if (packet.cmd === 'connect') Object.assign(packet, { bridgeMode: dialect.bridgeMode })
      if (packet.cmd === 'pingreq') this.#pingedAt = clock.monotonic()
    })
    client.on('packetreceive', (packet) => this.#received(packet))
  }

  #received(packet: Packet): void {
    this.#guard.parsed()
    const isFirst = !this.#heard
    this.#heard = true
    if (packet.cmd === 'connack') {
      if (isFirst) this.#connack(packet)
    } else if (isFirst) {
      this.#broke(`${packet.cmd.toUpperCase()} before CONNACK`)
    } else if (packet.cmd === 'disconnect') {
      const said = packet.properties?.reasonString
      this.abort(disconnectError(this.#server, packet.reasonCode ?? 0, said))
    } else if (packet.cmd === 'pingresp') {
      this.#pingAnswered()
    } else {
      this.#checkAnswer(packet)
    }
  }

  #checkAnswer(packet: Packet): void {
    if (NOT_FROM_A_BROKER.has(packet.cmd)) {
      this.#broke(`a broker does not send ${packet.cmd.toUpperCase()}`)
    } else if (packet.cmd === 'suback' || packet.cmd === 'unsuback') {
      const { cmd, messageId } = packet
      if (messageId === undefined || this.#client?.outgoing[messageId] === undefined) {
        this.#broke(`${cmd.toUpperCase()} for packet id ${messageId}, which nothing waits for`)
      }
    }
  }

  #connack(packet: IConnackPacket): void {
    const { dialect, options, up } = this.#setup
    const code = dialect.protocolVersion === 5 ? packet.reasonCode : packet.returnCode
    if (code !== 0) {
      const error = connackError(this.#server, code, packet.properties?.reasonString)
      this.abort(error, { versionRefused: code !== undefined && refusesVersion(code) })
      return
    }
    const facts = linkFacts(packet, dialect, this.#server, options.keepalive ?? 0)
    if (facts === undefined) {
      this.#broke('CONNACK with a forbidden property')
      return
    }
    this.#cancelTimer()
    this.#stage = 'up'
    this.#facts = facts
    try {
      up(facts)
    } catch (thrown) {
      this.abort(toBridgeError(thrown))
    }
  }

  #pingAnswered(): void {
    if (this.#pingedAt === 0) return
    this.#setup.rtt((this.#setup.clock.monotonic() - this.#pingedAt) / 1000)
    this.#pingedAt = 0
  }

  #usable(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #broke(what: string): void {
    this.abort(protocolError(this.#server, what))
  }

  #libraryFailed(error: Error): void {
    this.abort(libraryError(this.#server, this.#stage, error))
  }

  #channelClosed(error: Error | undefined): void {
    // What came in before the end (a refusal, a DISCONNECT) says more; let the library read it first.
    setImmediate(() => {
      const silent = this.#stage === 'opened' && !this.#heard
      this.abort(channelError(this.#server, this.#stage, error), { silent })
    })
  }

  #leftError(): BridgeError {
    return new BridgeError(`leaving '${this.#server}'`, { code: 'SHUTTING_DOWN' })
  }
}
