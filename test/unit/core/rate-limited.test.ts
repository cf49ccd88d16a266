import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Clock } from '../../../src/core/ports.ts'
import { RateLimited } from '../../../src/core/rate-limited.ts'

const MINUTE = 60_000

/** A clock that moves when told, with its timers. */
function steppedClock() {
  let now = 0
  const timers = new Set<{ at: number; callback: () => void }>()
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    after(ms, callback) {
      const timer = { at: now + ms, callback }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    random: () => 0,
  }
  function advance(ms: number): void {
    const end = now + ms
    for (;;) {
      const [next] = [...timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      now = next.at
      timers.delete(next)
      next.callback()
    }
    now = end
  }
  return { clock, advance, timers }
}

describe('RateLimited', () => {
  it('says the first at once and the repeats with their number when the interval ends', () => {
    const { clock, advance } = steppedClock()
    const limited = new RateLimited(clock)
    const said: number[] = []
    const drop = () => limited.once('tooLarge', MINUTE, (count) => said.push(count))
    drop()
    expect(said).toEqual([1])
    drop()
    drop()
    advance(MINUTE - 1)
    expect(said).toEqual([1])
    advance(1)
    expect(said).toEqual([1, 2])
    drop()
    advance(MINUTE)
    expect(said).toEqual([1, 2, 1])
  })

  it('keeps keys apart, and forgets the silent ones', () => {
    const { clock, advance, timers } = steppedClock()
    const limited = new RateLimited(clock)
    const said: string[] = []
    for (const key of ['a', 'b', 'a']) limited.once(key, MINUTE, (n) => said.push(`${key}${n}`))
    expect(said).toEqual(['a1', 'b1'])
    advance(2 * MINUTE)
    expect(said).toEqual(['a1', 'b1', 'a1'])
    expect(timers.size).toBe(0)
    limited.once('a', MINUTE, (n) => said.push(`again${n}`))
    expect(said.at(-1)).toBe('again1')
  })

  it('bounds the number of keys: what comes on top shares one', () => {
    const { clock, timers } = steppedClock()
    const limited = new RateLimited(clock)
    let said = 0
    for (let n = 0; n < 5000; n++) limited.once(`key ${n}`, MINUTE, () => said++)
    expect(timers.size).toBeLessThanOrEqual(1001)
    expect(said).toBeLessThanOrEqual(1001)
    limited.flush()
    expect(timers.size).toBe(0)
  })

  it('says at the end what is still held, and calls off its timers', () => {
    const { clock, advance, timers } = steppedClock()
    const limited = new RateLimited(clock)
    const said: number[] = []
    for (let n = 0; n < 4; n++) limited.once('x', MINUTE, (count) => said.push(count))
    limited.once('y', MINUTE, () => {})
    limited.flush()
    expect(said).toEqual([1, 3])
    expect(timers.size).toBe(0)
    advance(MINUTE)
    expect(said).toEqual([1, 3])
  })

  it('accounts for every occurrence, and never speaks twice in an interval', () => {
    const step = fc.record({
      wait: fc.integer({ min: 0, max: 200 }),
      key: fc.constantFrom('a', 'b'),
    })
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const { clock, advance } = steppedClock()
        const limited = new RateLimited(clock)
        const spoken: Record<string, number[]> = { a: [], b: [] }
        let total = 0
        for (const { wait, key } of steps) {
          advance(wait)
          limited.once(key, 100, (count) => {
            total += count
            spoken[key]?.push(clock.now())
          })
        }
        for (const times of Object.values(spoken)) {
          for (const [n, at] of times.entries()) {
            expect(at - (times[n - 1] ?? -100)).toBeGreaterThanOrEqual(100)
          }
        }
        limited.flush()
        expect(total).toBe(steps.length)
      }),
    )
  })
})
