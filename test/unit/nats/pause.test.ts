import { expect, it } from 'vitest'
import { Pause } from '../../../src/nats/pause.ts'
import { manualClock } from './manual-clock.ts'

it('a pause ends by time or by being woken, and says which', async () => {
  const clock = manualClock()
  const pause = new Pause(clock)
  pause.wake()
  const first = pause.wait(100)
  clock.advance(100)
  expect(await first).toBe(false)
  const second = pause.wait(100)
  pause.wake()
  expect(await second).toBe(true)
  expect(clock.waiting).toBe(0)
})
