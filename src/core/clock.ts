import type { Clock } from './ports.ts'

/** Longest wait Node's timers keep; a longer one would fire at once. */
const MAX_TIMER = 2 ** 31 - 1

/** The real time and chance. Its timers do not keep the process alive and may be of any length. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    let left = ms
    let timer: NodeJS.Timeout
    const arm = (): void => {
      const wait = Math.min(left, MAX_TIMER)
      left -= wait
      timer = setTimeout(left > 0 ? arm : callback, wait)
      timer.unref()
    }
    arm()
    return () => clearTimeout(timer)
  },
  random: () => Math.random(),
}
