import { readFileSync } from 'node:fs'
import { systemClock } from '../../src/core/clock.ts'
import type { NatsConfig, Secret } from '../../src/core/config.ts'
import { BridgeError, type ErrorCode } from '../../src/core/errors.ts'
import { LinkReport, type Logger } from '../../src/core/ports.ts'
import type { NatsLinkFacts } from '../../src/nats/link.ts'
import { NatsSession, type NatsSessionHost } from '../../src/nats/session.ts'
import { SessionTransport } from '../../src/nats/session-transport.ts'
import { eventually } from './eventually.ts'

/** A secret in a file, read like the bridge reads one. */
export function fileSecret(file: string): Secret {
  return {
    origin: `file ${file}`,
    file,
    read() {
      try {
        return readFileSync(file, 'utf8').trim()
      } catch (error) {
        throw new BridgeError(`reading secret '${file}'`, {
          code: 'SECRET_UNREADABLE',
          cause: error,
        })
      }
    },
  }
}

/** A secret written down in the configuration. */
export function inlineSecret(value: string): Secret {
  return { origin: 'inline', read: () => value }
}

/** One line of the log. */
export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: object
  readonly code?: string
}

/** Keeps what is logged. */
export function logCollector(): { readonly logger: Logger; readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, message, fields })
  }
  const logger: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    failure: (error, message, level = 'warn') => {
      lines.push({ level, message, fields: { error: error.message }, code: error.code })
    },
  }
  return { logger, lines }
}

/** A session with a host that keeps everything it is told. */
export interface NatsSessionStage extends AsyncDisposable {
  readonly session: NatsSession
  readonly report: LinkReport
  readonly ups: NatsLinkFacts[]
  readonly downs: BridgeError[]
  readonly complaints: { error: BridgeError; operation?: string; subject?: string }[]
  readonly transports: SessionTransport[]
  readonly lines: LogLine[]
  lameDucks(): number
  /** Waits until the session has come up that many times. */
  connected(times?: number): Promise<void>
  /** Waits until an attempt or a connection has failed with that code. */
  failed(code: ErrorCode): Promise<void>
}

/** Configuration of a session that waits for nothing long. */
export function natsConfig(servers: readonly string[], more: Partial<NatsConfig> = {}): NatsConfig {
  return {
    servers,
    auth: {},
    name: 'stage',
    connectTimeout: 4_000,
    pingInterval: 5_000,
    window: 1_000,
    windowBytes: 1_000_000,
    ...more,
  }
}

/** Starts a session; it stops with the scope. */
export async function startNatsSession(
  config: NatsConfig,
  host: Partial<NatsSessionHost> = {},
): Promise<NatsSessionStage> {
  const { logger, lines } = logCollector()
  const report = new LinkReport('nats')
  const ups: NatsLinkFacts[] = []
  const downs: BridgeError[] = []
  const complaints: NatsSessionStage['complaints'] = []
  const transports: SessionTransport[] = []
  let lameDucks = 0
  const session = new NatsSession(config, {
    logger,
    clock: systemClock,
    report,
    host: {
      transport() {
        const transport = new SessionTransport()
        transports.push(transport)
        return transport
      },
      up: (facts) => void ups.push(facts),
      down: (error) => void downs.push(error),
      serverError: (error, detail) => void complaints.push({ error, ...detail }),
      lameDuck: () => {
        lameDucks++
      },
      ...host,
    },
  })
  await session.start()
  return {
    session,
    report,
    ups,
    downs,
    complaints,
    transports,
    lines,
    lameDucks: () => lameDucks,
    async connected(times = 1) {
      const state = () => JSON.stringify(report.lastError)
      await eventually(
        `connection number ${times}`,
        () => {
          if (ups.length < times || report.state !== 'connected') throw new Error(state())
          return true
        },
        { deadline: 15_000 },
      )
    },
    async failed(code) {
      await eventually(
        `failure '${code}'`,
        () => {
          if (!report.failures.has(code)) throw new Error(JSON.stringify([...report.failures]))
          return true
        },
        { deadline: 15_000 },
      )
    },
    async [Symbol.asyncDispose]() {
      await session.stop()
    },
  }
}
