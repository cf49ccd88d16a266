import type { Clock } from '../../../src/core/ports.ts'

/** A clock that stands still until it is moved. */
export interface ManualClock extends Clock {
  /** Moves on by that many milliseconds, calling back what is due, in order. */
  advance(ms: number): void
  /** Timers that are set. */
  readonly waiting: number
}

/** Makes a {@link ManualClock} that begins at 0. */
export function manualClock(): ManualClock {
  let time = 0
  const timers = new Set<{ readonly at: number; readonly callback: () => void }>()
  return {
    now: () => time,
    monotonic: () => time,
    random: () => 0.5,
    after(ms, callback) {
      const timer = { at: time + ms, callback }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    advance(ms) {
      const end = time + ms
      for (;;) {
        const due = [...timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
        if (due === undefined) break
        timers.delete(due)
        time = due.at
        due.callback()
      }
      time = end
    },
    get waiting() {
      return timers.size
    },
  }
}
