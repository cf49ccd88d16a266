import { afterEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'

afterEach(() => {
  vi.useRealTimers()
})

describe('the system clock', () => {
  it('tells the time, and a time that never goes back', () => {
    const before = Date.now()
    const now = systemClock.now()
    expect(now).toBeGreaterThanOrEqual(before)
    expect(now).toBeLessThanOrEqual(Date.now())
    const first = systemClock.monotonic()
    expect(systemClock.monotonic()).toBeGreaterThanOrEqual(first)
  })

  it('gives chances in [0, 1)', () => {
    const chance = systemClock.random()
    expect(chance).toBeGreaterThanOrEqual(0)
    expect(chance).toBeLessThan(1)
  })

  it('calls back once after the wait', () => {
    vi.useFakeTimers()
    const callback = vi.fn()
    systemClock.after(500, callback)
    vi.advanceTimersByTime(499)
    expect(callback).not.toHaveBeenCalled()
    vi.advanceTimersByTime(5000)
    expect(callback).toHaveBeenCalledTimes(1)
  })

  it('does not call back when called off, also in the later part of a long wait', () => {
    vi.useFakeTimers()
    const callback = vi.fn()
    systemClock.after(10, callback)()
    const cancel = systemClock.after(2 ** 31 + 10, callback)
    vi.advanceTimersByTime(2 ** 31)
    cancel()
    vi.advanceTimersByTime(2 ** 31)
    expect(callback).not.toHaveBeenCalled()
  })

  it('keeps waits that are longer than a timer of Node can be', () => {
    vi.useFakeTimers()
    const callback = vi.fn()
    const thirtyDays = 30 * 86_400_000
    systemClock.after(thirtyDays, callback)
    vi.advanceTimersByTime(thirtyDays - 1)
    expect(callback).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(callback).toHaveBeenCalledTimes(1)
  })
})
