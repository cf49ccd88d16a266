import type { Clock } from '../core/ports.ts'

/** Looks at the connection this often per ping interval. */
const TICKS = 4
/** Ticks without a byte after which the peer counts as gone: 1.75 intervals, at least 0.75 after a PING. */
const SILENT_TICKS = 7

/** The connection that is watched. */
export interface Heard {
  /** Bytes received since the connection was opened. */
  bytesRead(): number
  /** Bytes handed to the operating system since then, and bytes still waiting for it. */
  sent(): { readonly taken: number; readonly waiting: number }
  /** True while we do not read ourselves, so that silence says nothing about the peer. */
  held(): boolean
  /** Sends a PING and resolves at its PONG; rejects when the connection ends. */
  ping(): Promise<void>
}

/** What the watch finds out. */
export interface Findings {
  /** Seconds a PING took. */
  rtt(seconds: number): void
  /** Nothing has come for too long although the peer was asked. Called once; the watch is over. */
  stale(silentMs: number): void
}

/**
 * Notices a peer that is gone although the connection looks open, within two ping intervals. Silence is
 * counted in ticks and not in time, so that a process that was stopped for a while blames nobody. A peer that
 * still takes from a queue of ours is alive: its PONG waits behind that queue.
 */
export class Heartbeat {
  readonly #heard: Heard
  readonly #findings: Findings
  readonly #clock: Clock
  readonly #tickMs: number
  #cancel: (() => void) | undefined
  #ticks = 0
  #silent = 0
  #read = 0
  #taken = 0
  #pinging = false

  /** @param interval milliseconds between PINGs */
  constructor(heard: Heard, findings: Findings, clock: Clock, interval: number) {
    this.#heard = heard
    this.#findings = findings
    this.#clock = clock
    this.#tickMs = interval / TICKS
  }

  start(): void {
    if (this.#cancel !== undefined) return
    this.#read = this.#heard.bytesRead()
    this.#ping()
    this.#arm()
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  #arm(): void {
    this.#cancel = this.#clock.after(this.#tickMs, () => this.#tick())
  }

  #tick(): void {
    this.#silent = this.#progressed() ? 0 : this.#silent + 1
    if (this.#silent >= SILENT_TICKS) {
      this.stop()
      this.#findings.stale(this.#silent * this.#tickMs)
      return
    }
    this.#ticks++
    if (this.#ticks % TICKS === 0) this.#ping()
    this.#arm()
  }

  #progressed(): boolean {
    const read = this.#heard.bytesRead()
    const { taken, waiting } = this.#heard.sent()
    const taking = waiting > 0 && taken !== this.#taken
    const alive = read !== this.#read || taking || this.#heard.held()
    this.#read = read
    this.#taken = taken
    return alive
  }

  #ping(): void {
    if (this.#pinging) return
    this.#pinging = true
    const from = this.#clock.monotonic()
    this.#heard.ping().then(
      () => {
        this.#pinging = false
        this.#findings.rtt((this.#clock.monotonic() - from) / 1000)
      },
      // the end of the connection is told elsewhere
      () => {
        this.#pinging = false
      },
    )
  }
}
