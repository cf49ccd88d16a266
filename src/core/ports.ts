import type { BridgeError } from './errors.ts'

/** What rooms say things to; one child per room. Facts go in `fields`, the message is short constant text. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** Logs a failure with its code and hint; `level` is `warn` unless given. */
  failure(error: BridgeError, message: string, level?: 'warn' | 'error'): void
}

/** Time and chance, passed in so that tests drive them. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Milliseconds, monotonic. */
  monotonic(): number
  /** Calls back once after `ms`; returns the way to call it off. The timer does not keep the process alive. */
  after(ms: number, callback: () => void): () => void
  /** Uniform in [0, 1). */
  random(): number
}

export type Side = 'mqtt' | 'nats'

export type LinkState = 'idle' | 'connecting' | 'connected' | 'waiting' | 'stopped'

/** What is known of one side's connection; plain fields, written by the session, read by `/status` and metrics. */
export class LinkReport {
  readonly side: Side
  state: LinkState = 'idle'
  /** `host:port` of the server now or last dialled. */
  server = ''
  /** `MQTT 5`, `MQTT 3.1.1`, `NATS`. */
  protocol = ''
  tlsVersion = ''
  serverVersion = ''
  /** Milliseconds since the epoch of the last change of state. */
  since = 0
  connects = 0
  reconnects = 0
  disconnects = 0
  /** Failed attempts by error code. */
  readonly failures = new Map<string, number>()
  authErrors = 0
  subscriptions = 0
  /** Seconds; 0 = not measured. */
  rtt = 0
  /** Seconds since the epoch; 0 = no certificate seen. */
  serverCertNotAfter = 0
  lastError: { code: string; message: string; hint: string; at: number } | undefined
  /** Why the side cannot deliver although connected, or why it is not; empty when all is well. */
  reasons: string[] = []

  constructor(side: Side) {
    this.side = side
  }

  /** Notes a failure for `/status` and metrics. */
  fail(error: BridgeError, at: number): void {
    this.failures.set(error.code, (this.failures.get(error.code) ?? 0) + 1)
    this.lastError = { code: error.code, message: error.message, hint: error.hint, at }
  }
}

/** A part of the bridge with effects: made without any, started once, stopped once; both calls may repeat. */
export interface Part {
  start(): Promise<void>
  stop(): Promise<void>
}
