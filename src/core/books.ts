import type { Direction } from './config.ts'

/** Why a message was let go on purpose. Public interface: `/status`, metrics and docs use these words. */
export const DROP_REASONS = [
  'noRoute',
  'unmappable',
  'reserved',
  'tooLarge',
  'denied',
  'disconnected',
  'queueFull',
  'noStream',
  'rejected',
  'expired',
  'superseded',
  'duplicate',
  'shutdown',
] as const

export type DropReason = (typeof DROP_REASONS)[number]

/** Upper bounds in seconds of the forward duration histogram (receive → acknowledged by the far side). */
export const DURATION_BOUNDS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30,
] as const

/**
 * The books of one route in one direction: plain numbers the message path adds to, read by `/status` and
 * metrics. Always received = forwarded + filtered + Σ dropped + deadLettered + inFlight.
 */
export class RouteBooks {
  readonly route: string
  readonly direction: Direction
  /** By QoS 0, 1, 2 of the message as it came in. */
  readonly received = new Float64Array(3)
  readonly forwarded = new Float64Array(3)
  /** Not meant for the far side: echoes of our own, copies another route owns. */
  filtered = 0
  deadLettered = 0
  /** Taken, not yet settled (QoS ≥ 1). */
  inFlight = 0
  /** One counter per entry of {@link DROP_REASONS}. */
  readonly dropped = new Float64Array(DROP_REASONS.length)
  receivedBytes = 0
  forwardedBytes = 0
  /** Sent again after a reconnect or a refusal that may pass. */
  retried = 0
  /** Messages that carried our own origin, part of `filtered`. */
  loopsSuppressed = 0
  /** Milliseconds since the epoch; 0 = never. */
  lastForwardedAt = 0
  /** One counter per bound of {@link DURATION_BOUNDS}, and one above the last. */
  readonly durations = new Float64Array(DURATION_BOUNDS.length + 1)
  durationSum = 0

  constructor(route: string, direction: Direction) {
    this.route = route
    this.direction = direction
  }

  drop(reason: DropReason): void {
    const at = DROP_REASONS.indexOf(reason)
    this.dropped[at] = (this.dropped[at] as number) + 1
  }

  /** Puts one forward duration, in seconds, into the histogram. */
  observe(seconds: number): void {
    this.durationSum += seconds
    let at = 0
    while (at < DURATION_BOUNDS.length && seconds > (DURATION_BOUNDS[at] as number)) at++
    this.durations[at] = (this.durations[at] as number) + 1
  }

  get receivedTotal(): number {
    return sum(this.received)
  }

  get forwardedTotal(): number {
    return sum(this.forwarded)
  }

  get droppedTotal(): number {
    return sum(this.dropped)
  }

  /** received − everything that became of it; anything but 0 is a defect. */
  get imbalance(): number {
    return (
      this.receivedTotal -
      this.forwardedTotal -
      this.filtered -
      this.droppedTotal -
      this.deadLettered -
      this.inFlight
    )
  }
}

function sum(values: Float64Array): number {
  let total = 0
  for (const value of values) total += value
  return total
}
