import { describe, expect, it } from 'vitest'
import { Heartbeat } from '../../../src/nats/heartbeat.ts'
import { manualClock } from './manual-clock.ts'

function watch() {
  const clock = manualClock()
  const state = { read: 0, taken: 0, waiting: 0, held: false, pings: 0 }
  const found = { rtts: [] as number[], stale: [] as number[] }
  let answer: () => void = () => undefined
  const heartbeat = new Heartbeat(
    {
      bytesRead: () => state.read,
      sent: () => ({ taken: state.taken, waiting: state.waiting }),
      held: () => state.held,
      ping() {
        state.pings++
        return new Promise<void>((resolve) => {
          answer = () => {
            state.read += 6
            resolve()
          }
        })
      },
    },
    {
      rtt: (seconds) => void found.rtts.push(seconds),
      stale: (ms) => void found.stale.push(ms),
    },
    clock,
    1_000,
  )
  heartbeat.start()
  return { clock, state, found, heartbeat, answer: () => answer() }
}

describe('the heartbeat', () => {
  it('pings at once and then once per interval, and measures the answers', async () => {
    const { clock, state, found, answer } = watch()
    for (let i = 1; i <= 5; i++) {
      expect(state.pings).toBe(i)
      clock.advance(100)
      answer()
      await Promise.resolve()
      clock.advance(900)
    }
    expect(found).toEqual({ rtts: [0.1, 0.1, 0.1, 0.1, 0.1], stale: [] })
  })

  it('finds a silent peer once, between one and two intervals after its last byte', () => {
    const { clock, found, answer } = watch()
    clock.advance(10)
    answer()
    clock.advance(1_700)
    expect(found.stale).toEqual([])
    clock.advance(300)
    expect(found.stale).toEqual([1_750])
    clock.advance(60_000)
    expect(found.stale).toHaveLength(1)
    expect(clock.waiting).toBe(0)
  })

  it('takes any byte for a sign of life', () => {
    const { clock, state, found } = watch()
    for (let i = 0; i < 20; i++) {
      state.read++
      clock.advance(1_000)
    }
    expect(found.stale).toEqual([])
  })

  it('waits while the peer still takes from a queue, and no longer', () => {
    const { clock, state, found } = watch()
    state.waiting = 1_000
    for (let i = 0; i < 20; i++) {
      state.taken++
      clock.advance(1_000)
    }
    expect(found.stale).toEqual([])
    clock.advance(2_000)
    expect(found.stale).toHaveLength(1)
  })

  it('does not take writes that vanish into buffers for a sign of life', () => {
    const { clock, state, found } = watch()
    for (let i = 0; i < 8; i++) {
      state.taken++
      clock.advance(250)
    }
    expect(found.stale).toHaveLength(1)
  })

  it('blames nobody while we do not read ourselves', () => {
    const { clock, state, found } = watch()
    state.held = true
    clock.advance(10_000)
    expect(found.stale).toEqual([])
    state.held = false
    clock.advance(2_000)
    expect(found.stale).toHaveLength(1)
  })

  it('is over when stopped, and does not start twice', () => {
    const { clock, found, heartbeat } = watch()
    heartbeat.start()
    expect(clock.waiting).toBe(1)
    heartbeat.stop()
    heartbeat.stop()
    clock.advance(10_000)
    expect(found.stale).toEqual([])
    expect(clock.waiting).toBe(0)
  })
})
