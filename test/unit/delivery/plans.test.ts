import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PlanCache } from '../../../src/delivery/plans.ts'

describe('the cache of plans', () => {
  test('gives what was put in, or nothing, and stays bounded', () => {
    const cache = new PlanCache<number>()
    let wrong = 0
    for (let i = 0; i < 120_000; i++) {
      cache.set(`key${i}`, i)
      // the first is in use all the time
      if (cache.get(`key${i}`) !== i || cache.get('key0') !== 0) wrong++
    }
    expect(wrong).toBe(0)
    expect(cache.size).toBeLessThanOrEqual(100_001)
    expect(cache.get('key1')).toBeUndefined()
    expect(cache.get('key119998')).toBe(119_998)
    cache.clear()
    expect([cache.size, cache.get('key0')]).toEqual([0, undefined])
  })

  test('is bounded by the bytes of its keys too', () => {
    const cache = new PlanCache<number>()
    for (let i = 0; i < 1_000; i++) cache.set(`${i}`.padEnd(65_535, 'x'), i)
    expect(cache.size).toBeLessThanOrEqual(256)
  })

  test('names everything it holds', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { maxLength: 20 }), (keys) => {
        const cache = new PlanCache<string>()
        for (const key of keys) cache.set(key, key)
        expect(new Set(cache.values())).toEqual(new Set(keys))
      }),
    )
  })
})
