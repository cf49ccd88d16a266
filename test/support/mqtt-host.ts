import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { MqttConfig } from '../../src/core/config.ts'
import type { BridgeError } from '../../src/core/errors.ts'
import { type Clock, LinkReport, type Logger } from '../../src/core/ports.ts'
import type { Channel } from '../../src/mqtt/channel.ts'
import type { MqttLinkFacts } from '../../src/mqtt/link-facts.ts'
import { MqttSession, type MqttSessionHost } from '../../src/mqtt/session.ts'

/** The real time, without keeping the process alive; `random` is the middle unless given. */
export function systemClock(random: () => number = () => 0.5): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    after(ms, callback) {
      const timer = setTimeout(callback, ms).unref()
      return () => clearTimeout(timer)
    },
    random,
  }
}

/** One line a recording logger was given. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** A logger that keeps its lines. */
export function recordingLogger(): Logger & { readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  const at = (level: LogLine['level']) => (fields: object, message: string) =>
    void lines.push({ level, message, fields: { ...fields } })
  return {
    lines,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    failure(error, message, level = 'warn') {
      lines.push({ level, message, fields: { code: error.code, error: error.message } })
    },
  }
}

class Lane extends Duplex {
  readonly #channel: Channel
  readonly #host: PassThroughHost

  constructor(channel: Channel, host: PassThroughHost) {
    super()
    this.#channel = channel
    this.#host = host
    channel.onChunk = (chunk) => {
      host.bytes.push(Buffer.from(chunk))
      if (host.holding) return true
      return this.push(Buffer.from(chunk))
    }
    channel.onClose = (error) => this.destroy(error)
  }

  override _read(): void {
    if (!this.#host.holding) this.#channel.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#channel.write(chunk, done)
  }

  override _final(done: () => void): void {
    this.#channel.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#channel.destroy()
    done(error)
  }
}

/** A message lane without messages: all bytes go to the library, unless it holds them back. */
export class PassThroughHost implements MqttSessionHost {
  /** While true, what comes in is thrown away: the library hears nothing. */
  holding = false
  readonly bytes: Buffer[] = []
  readonly ups: MqttLinkFacts[] = []
  readonly downs: BridgeError[] = []
  wraps = 0

  wrap(channel: Channel): Duplex {
    this.wraps++
    return new Lane(channel, this)
  }

  up(facts: MqttLinkFacts): void {
    this.ups.push(facts)
  }

  down(error: BridgeError): void {
    this.downs.push(error)
  }
}

let sessions = 0

/** A configuration for tests: short times, a client id of its own. */
export function mqttConfig(over: Partial<MqttConfig> = {}): MqttConfig {
  return {
    urls: [],
    useEmbedded: false,
    protocolVersion: 5,
    clientId: `session-${process.pid}-${++sessions}`,
    tls: {},
    keepalive: 30,
    sessionExpiry: 3600,
    connectTimeout: 5_000,
    window: 100,
    maxPacketSize: 1024 * 1024,
    embedded: { listen: '127.0.0.1:0' },
    ...over,
  }
}

/** A session with everything it needs, stopped by `await using`. */
export interface SessionUnderTest extends AsyncDisposable {
  readonly session: MqttSession
  readonly host: PassThroughHost
  readonly report: LinkReport
  readonly logger: ReturnType<typeof recordingLogger>
}

/** Starts a session; waits of its back-off are near their shortest. */
export async function startSession(
  over: Partial<MqttConfig>,
  clock: Clock = systemClock(() => 0),
): Promise<SessionUnderTest> {
  const host = new PassThroughHost()
  const report = new LinkReport('mqtt')
  const logger = recordingLogger()
  const deps = { logger, clock, report, host, topicAliasMaximum: 10 }
  const session = new MqttSession(mqttConfig(over), deps)
  await session.start()
  return { session, host, report, logger, [Symbol.asyncDispose]: () => session.stop() }
}

/** A TCP server that does to each connection what it is told. */
export interface ScriptedServer extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** The connections so far; each with the bytes it sent. */
  readonly connections: { readonly socket: Socket; readonly received: Buffer[] }[]
}

/** Listens on 127.0.0.1; `script` runs at the first bytes of each connection, with its number from 0. */
export async function scriptedServer(
  script: (socket: Socket, number: number, first: Buffer) => void,
  options: { readonly allowHalfOpen?: boolean } = {},
): Promise<ScriptedServer> {
  const connections: ScriptedServer['connections'] = []
  const server: Server = createServer(options, (socket) => {
    const number = connections.length
    const received: Buffer[] = []
    connections.push({ socket, received })
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      received.push(chunk)
      if (received.length === 1) script(socket, number, chunk)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    connections,
    async [Symbol.asyncDispose]() {
      for (const { socket } of connections) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
