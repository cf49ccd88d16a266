import type { RouteBooks } from './books.ts'
import type { Direction } from './config.ts'
import type { LinkReport } from './ports.ts'

export type BridgeState = 'idle' | 'starting' | 'running' | 'draining' | 'stopped'

/** One direction's window at the moment: what is taken and not settled, and whether that holds the source back. */
export interface FlowReport {
  readonly direction: Direction
  /** Messages of QoS ≥ 1 taken and not settled. */
  readonly inFlight: number
  /** How many may be. */
  readonly limit: number
  readonly bytes: number
  readonly limitBytes: number
  /** True while the source is held back. */
  readonly heldBack: boolean
  /** Seconds the source has been held back since start, by cause (`window`, `socket`, `away`). */
  readonly heldSeconds: Readonly<Record<string, number>>
  /** Seconds the oldest unsettled message has waited; 0 when there is none. */
  readonly oldestSeconds: number
}

/** What one route does in one direction, decided at start and shown by `/status`. */
export interface RouteReport {
  readonly name: string
  readonly direction: Direction
  /** What is in force: `live`, `confirmed` or `durable` (for what {@link streams} cover); `none` for what no route takes. */
  readonly delivery: string
  readonly window: number
  readonly books: RouteBooks
  /** Streams that take part, by name. */
  readonly streams: readonly string[]
}

/** A credential or certificate that ends one day. */
export interface ExpiryReport {
  /** `nats user jwt`, `mqtt client certificate`, … */
  readonly credential: string
  readonly account: string
  /** Seconds since the epoch; 0 = never. */
  readonly expiresAt: number
}

/** Everything the bridge tells about itself; `/status` prints it, metrics and health read it. */
export interface BridgeReport {
  readonly version: string
  readonly state: BridgeState
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly ready: boolean
  /** Why not ready; each begins with its side: `mqtt: …`, `nats: …`. */
  readonly reasons: readonly string[]
  readonly links: { readonly mqtt: LinkReport; readonly nats: LinkReport }
  readonly routes: readonly RouteReport[]
  readonly flows: readonly FlowReport[]
  readonly expiries: readonly ExpiryReport[]
  /** Newest last, at most twenty. */
  readonly lastErrors: readonly {
    readonly at: number
    readonly code: string
    readonly message: string
    readonly hint: string
  }[]
}
