import { describe, expect, test } from 'vitest'
import { Moderation } from '../../../src/mqtt/moderation.ts'
import { ManualClock } from '../../support/manual-clock.ts'

function reads(perSecond: number, bytes: number): number[] {
  const clock = new ManualClock()
  const moderation = new Moderation(clock)
  return Array.from({ length: 60 }, () => {
    for (let i = 0; i < perSecond / 1_000; i++) moderation.count()
    clock.time += 1
    return moderation.pause(bytes)
  })
}

describe('the moderation of reads', () => {
  test('waits two milliseconds between small reads under load', () => {
    expect(reads(20_000, 1_000).slice(-10)).toEqual(Array.from({ length: 10 }, () => 2))
  })

  test('never waits at a low rate', () => {
    expect(new Set(reads(10_000, 1_000))).toEqual(new Set([0]))
  })

  test('never waits after a large read', () => {
    expect(new Set(reads(100_000, 20_000))).toEqual(new Set([0]))
  })

  test('stops waiting when the load is over', () => {
    const clock = new ManualClock()
    const moderation = new Moderation(clock)
    moderation.pause(1)
    for (let i = 0; i < 1_000; i++) moderation.count()
    clock.time += 21
    expect(moderation.pause(1)).toBe(2)
    clock.time += 21
    expect(moderation.pause(1)).toBe(0)
  })
})
