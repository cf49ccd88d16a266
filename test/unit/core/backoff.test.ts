import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Backoff } from '../../../src/core/backoff.ts'

const BOUNDS = { base: 100, cap: 5_000, stableAfter: 1_000 }

describe('back-off', () => {
  test('waits between base and three times the last wait, never above the cap', () => {
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(fc.array(chance, { maxLength: 30 }), (chances) => {
        let at = 0
        const backoff = new Backoff(() => chances[at++] as number, BOUNDS)
        let last = BOUNDS.base
        for (const _ of chances) {
          const wait = backoff.next()
          expect(wait).toBeGreaterThanOrEqual(BOUNDS.base)
          expect(wait).toBeLessThanOrEqual(Math.min(BOUNDS.cap, last * 3 + 1))
          last = wait
        }
      }),
    )
  })

  test('grows to the cap and starts over only after a connection that stayed up', () => {
    const backoff = new Backoff(() => 0.999_999, BOUNDS)
    expect(Array.from({ length: 6 }, () => backoff.next())).toEqual([
      300, 900, 2700, 5000, 5000, 5000,
    ])
    backoff.ended(999)
    expect(backoff.next()).toBe(5000)
    backoff.ended(1_000)
    expect(backoff.next()).toBe(300)
  })

  test('has bounds of its own when none are given', () => {
    expect(new Backoff(() => 0).next()).toBe(250)
  })
})
