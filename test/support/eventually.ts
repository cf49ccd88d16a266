import { setTimeout as sleep } from 'node:timers/promises'

/** How long to wait, and how often to look; milliseconds. */
export interface EventuallyOptions {
  readonly deadline?: number
  readonly interval?: number
}

/**
 * Looks again and again until `check` gives something truthy without throwing, and resolves to that.
 * At the deadline (10 s unless given) it throws, naming the condition and the last error or value.
 */
export async function eventually<T>(
  name: string,
  check: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<NonNullable<T>> {
  const deadline = options.deadline ?? 10_000
  const end = performance.now() + deadline
  let last: unknown
  for (;;) {
    try {
      const value = await check()
      if (value) return value
      last = `last value: ${String(value)}`
    } catch (error) {
      last = error
    }
    if (performance.now() >= end) {
      const why = last instanceof Error ? last.message : String(last)
      throw new Error(`waiting for ${name}: not within ${deadline} ms (${why})`, { cause: last })
    }
    await sleep(options.interval ?? 10)
  }
}

/** Waits for the promise, at most `ms` milliseconds; then rejects, naming what was waited for. */
export function within<T>(name: string, ms: number, promise: Promise<T>): Promise<T> {
  const late = new Error(`waiting for ${name}: not within ${ms} ms`)
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late), ms)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
