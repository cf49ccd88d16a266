import type { BridgeError } from '../../../../src/core/errors.ts'
import type { Clock, Logger } from '../../../../src/core/ports.ts'

/** A clock moved by hand. */
export interface HandClock extends Clock {
  advance(ms: number): void
}

export function handClock(): HandClock {
  let now = 0
  const timers = new Set<{ at: number; callback: () => void }>()
  return {
    now: () => now,
    monotonic: () => now,
    random: () => 0.5,
    after(ms, callback) {
      const timer = { at: now + ms, callback }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    advance(ms) {
      now += ms
      for (const timer of [...timers].sort((a, b) => a.at - b.at)) {
        if (timer.at > now || !timers.delete(timer)) continue
        timer.callback()
      }
    },
  }
}

/** Time as it passes. */
export function realClock(): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    random: () => Math.random(),
    after(ms, callback) {
      const timer = setTimeout(callback, ms)
      timer.unref()
      return () => clearTimeout(timer)
    },
  }
}

/** A logger that only remembers. */
export interface SilentLogger extends Logger {
  readonly failures: BridgeError[]
  readonly warnings: string[]
}

export function silentLogger(): SilentLogger {
  const failures: BridgeError[] = []
  const warnings: string[] = []
  return {
    failures,
    warnings,
    debug: () => undefined,
    info: () => undefined,
    warn: (_, message) => void warnings.push(message),
    error: () => undefined,
    failure: (error) => void failures.push(error),
  }
}
