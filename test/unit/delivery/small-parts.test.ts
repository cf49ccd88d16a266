import { describe, expect, test } from 'vitest'
import { RouteBooks } from '../../../src/core/books.ts'
import { DropLog } from '../../../src/delivery/drop-log.ts'
import { HoldTimes } from '../../../src/delivery/hold-times.ts'
import { Retry } from '../../../src/delivery/retry.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { warnings } from './stand-ins.ts'

describe('the pause before everything is sent again', () => {
  test('doubles with each refusal up to five seconds, and runs once at a time', () => {
    const clock = new ManualClock()
    const fired: number[] = []
    const retry = new Retry(clock, () => fired.push(clock.time))
    const pauses = [0, 1, 2, 3, 4, 5, 6, 200].map((attempt) => {
      const before = clock.time
      retry.schedule(attempt)
      retry.schedule(attempt)
      expect(retry.pending).toBe(true)
      clock.pass(10_000)
      expect(retry.pending).toBe(false)
      return (fired.at(-1) as number) - before
    })
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000])
    expect(fired).toHaveLength(8)
  })

  test('can be called off', () => {
    const clock = new ManualClock()
    const fired: number[] = []
    const retry = new Retry(clock, () => fired.push(1))
    retry.cancel()
    retry.schedule(1)
    retry.cancel()
    clock.pass(10_000)
    expect([fired, retry.pending, clock.waiting]).toEqual([[], false, 0])
  })
})

test('hold times are kept by cause, the stop at hand included, and a stop keeps its first cause', () => {
  const held = new HoldTimes()
  held.end(5)
  expect(held.seconds(9)).toEqual({})
  held.begin('window', 1_000)
  held.begin('socket', 2_000)
  expect(held.seconds(3_000)).toEqual({ window: 2 })
  held.end(4_000)
  held.begin('away', 5_000)
  held.end(6_000)
  held.begin('window', 7_000)
  expect(held.seconds(8_000)).toEqual({ window: 4, away: 1 })
})

test('drops are said once per route, direction and reason in a minute, with how many came between', () => {
  const clock = new ManualClock()
  const { logger, said } = warnings()
  const drops = new DropLog(logger, clock)
  const one = new RouteBooks('a', 'mqttToNats')
  const other = new RouteBooks('a', 'natsToMqtt')
  for (let i = 0; i < 5; i++) drops.note(one, 'noRoute', 'x'.repeat(1_000))
  drops.note(other, 'noRoute', 'other')
  drops.note(one, 'tooLarge', 'large')
  drops.note(one, 'retry', 'again')
  expect(said.map(({ reason, since }) => [reason, since])).toEqual([
    ['noRoute', 0],
    ['noRoute', 0],
    ['tooLarge', 0],
    ['retry', 0],
  ])
  expect(said[0]).toMatchObject({ code: 'MESSAGE_DROPPED', route: 'a', direction: 'mqttToNats' })
  for (const one of said) expect(one['hint']).toMatch(/\w{3}/)
  expect(String(said[0]?.['detail']).length).toBeLessThanOrEqual(300)
  clock.time += 60_000
  drops.note(one, 'noRoute', 'x')
  expect(said.at(-1)).toMatchObject({ reason: 'noRoute', since: 4 })
})
