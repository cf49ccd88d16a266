import { destination, type Logger as Pino, pino } from 'pino'
import type { BridgeConfig } from '../core/config.ts'
import type { BridgeError } from '../core/errors.ts'
import type { Logger } from '../core/ports.ts'
import { prettyLine } from './pretty.ts'
import { redactFields, scrub } from './redact.ts'

/** Levels the bridge writes at; the label values of `mqttnats_log_messages_total`. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** How many causes of a failure are shown, and how far the chain is followed. */
const MAX_CAUSES = 8

/** What takes finished lines, each with its line break; `process.stdout` fits. */
export interface LineStream {
  write(line: string): unknown
}

export interface LoggerOptions {
  readonly level: BridgeConfig['log']['level']
  /** `auto`: readable text on a terminal, JSON lines elsewhere. */
  readonly format: BridgeConfig['log']['format']
  /** Default: stdout, written synchronously so that the last line before an exit is not lost. */
  readonly stream?: LineStream
  /** Whether the stream is a terminal; colours appear only there. */
  readonly isTTY: boolean
  /** Room of the lines written through the logger itself; children have their own. */
  readonly room: string
}

/** The log of the process: one JSON object or one readable line per event, a child for each room. */
export interface RootLogger extends Logger {
  /** The same log under another room's name. */
  child(room: string): Logger
  /** Changes the level of this logger and all its children. */
  setLevel(level: LoggerOptions['level']): void
  /** Lines written so far, by level. */
  readonly counts: Readonly<Record<LogLevel, number>>
}

/** Builds the log; nothing is written before the first call. */
export function createLogger(options: LoggerOptions): RootLogger {
  const stream = options.stream ?? destination({ dest: 1, sync: true })
  const pretty = options.format === 'pretty' || (options.format === 'auto' && options.isTTY)
  const root = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (level) => ({ level }), log: redactFields },
    },
    pretty
      ? { write: (line: string) => void stream.write(prettyLine(line, options.isTTY)) }
      : { write: (line: string) => void stream.write(line) },
  )
  return new RoomLogger(root, options.room, { counts: noLines(), pinos: [root] })
}

function noLines(): Record<LogLevel, number> {
  return { debug: 0, info: 0, warn: 0, error: 0 }
}

/** What a logger and its children share. */
interface Shared {
  readonly counts: Record<LogLevel, number>
  readonly pinos: Pino[]
}

class RoomLogger implements RootLogger {
  readonly #root: Pino
  readonly #pino: Pino
  readonly #shared: Shared

  constructor(root: Pino, room: string, shared: Shared) {
    this.#root = root
    this.#pino = root.child({ room })
    this.#shared = shared
    shared.pinos.push(this.#pino)
  }

  get counts(): Readonly<Record<LogLevel, number>> {
    return this.#shared.counts
  }

  child(room: string): Logger {
    return new RoomLogger(this.#root, room, this.#shared)
  }

  setLevel(level: LoggerOptions['level']): void {
    for (const each of this.#shared.pinos) each.level = level
  }

  debug(fields: object, message: string): void {
    this.#write('debug', fields, message)
  }

  info(fields: object, message: string): void {
    this.#write('info', fields, message)
  }

  warn(fields: object, message: string): void {
    this.#write('warn', fields, message)
  }

  error(fields: object, message: string): void {
    this.#write('error', fields, message)
  }

  failure(error: BridgeError, message: string, level: 'warn' | 'error' = 'warn'): void {
    const causes = causesOf(error)
    const fields = { code: error.code, error: error.message, hint: error.hint }
    this.#write(level, causes.length > 0 ? { ...fields, causes } : fields, message)
  }

  #write(level: LogLevel, fields: object, message: string): void {
    if (!this.#pino.isLevelEnabled(level)) return
    this.#shared.counts[level]++
    this.#pino[level](fields, scrub(message))
  }
}

/**
 * The messages below an error, outermost first, without repeats and stacks. The errors inside an
 * `AggregateError` count too: Node reports one per address tried and gives the whole an empty message.
 */
function causesOf(error: BridgeError): string[] {
  const seen = new Set<unknown>()
  const messages: string[] = []
  const queue: unknown[] = [error.cause]
  while (queue.length > 0 && seen.size < MAX_CAUSES) {
    const cause = queue.shift()
    if (cause === undefined || cause === null || seen.has(cause)) continue
    seen.add(cause)
    const text = cause instanceof Error ? cause.message : String(cause)
    if (text !== '' && text !== error.message && !messages.includes(text)) messages.push(text)
    if (cause instanceof AggregateError) queue.push(...cause.errors)
    if (cause instanceof Error) queue.push(cause.cause)
  }
  return messages
}
