import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DROP_REASONS, DURATION_BOUNDS, RouteBooks } from '../../../src/core/books.ts'

describe('the books of a route', () => {
  test('count each reason for itself, and balance when everything received went somewhere', () => {
    const books = new RouteBooks('r', 'mqttToNats')
    DROP_REASONS.forEach((reason, index) => {
      for (let i = 0; i <= index; i++) books.drop(reason)
    })
    expect([...books.dropped]).toEqual(DROP_REASONS.map((_, index) => index + 1))
    books.received[0] = books.droppedTotal
    books.received[1] = 10
    expect(books.imbalance).toBe(10)
    books.forwarded[1] = 4
    books.filtered = 3
    books.deadLettered = 2
    books.inFlight = 1
    expect(books.imbalance).toBe(0)
    expect([books.receivedTotal, books.forwardedTotal]).toEqual([books.droppedTotal + 10, 4])
  })

  test('put a duration into the first bound that holds it, and into the last when none does', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 100, noNaN: true }), (seconds) => {
        const books = new RouteBooks('r', 'natsToMqtt')
        books.observe(seconds)
        const at = DURATION_BOUNDS.findIndex((bound) => seconds <= bound)
        expect(books.durations[at < 0 ? DURATION_BOUNDS.length : at]).toBe(1)
        expect(books.durations.reduce((sum, one) => sum + one, 0)).toBe(1)
        expect(books.durationSum).toBe(seconds)
      }),
    )
  })
})
