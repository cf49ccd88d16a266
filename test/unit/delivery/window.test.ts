import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SLAB_BYTES } from '../../../src/core/frame-buffer.ts'
import { Slot, Window } from '../../../src/delivery/window.ts'

function filled(count: number, limit = 100): { window: Window; frames: Buffer } {
  const window = new Window(limit, 10 * SLAB_BYTES)
  const frames = Buffer.from(Array.from({ length: count }, (_, index) => index))
  for (let i = 0; i < count; i++) window.keep(window.open(0, i), frames, i, i + 1)
  return { window, frames }
}

describe('the window', () => {
  test('is full at its limit of messages, or of memory', () => {
    const window = new Window(3, 2 * SLAB_BYTES)
    expect([window.full, window.bytes, window.size, window.oldest(5)]).toEqual([false, 0, 0, 0])
    window.open(0, 1_000)
    window.open(0, 2_000)
    expect([window.full, window.bytes, window.oldest(3_000)]).toEqual([false, SLAB_BYTES, 2])
    window.open(1, 2_000)
    expect([window.full, window.bytes]).toEqual([true, 2 * SLAB_BYTES])
    window.release()
    window.release()
    expect([window.full, window.bytes]).toEqual([false, SLAB_BYTES])
    window.open(9, 0)
    expect(window.full).toBe(true)
  })

  test('never gives a slot twice: beyond its ring it throws', () => {
    const { window } = filled(200)
    expect(window.capacity).toBe(256)
    for (let i = 0; i < 56; i++) window.open(0, 0)
    expect(() => window.open(0, 0)).toThrow(expect.objectContaining({ code: 'INTERNAL' }))
    window.release()
    expect(window.open(0, 0)).toBe(0)
  })

  test('tells the position of a slot as long as it holds something', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 400 }), (opens) => {
        const window = new Window(20, SLAB_BYTES)
        for (const open of opens) {
          if (open && !window.full) window.open(0, 0)
          else if (window.size > 0) window.release()
        }
        const held = new Map<number, number>()
        for (let at = window.head; at < window.tail; at++) held.set(at & window.mask, at)
        for (let slot = -1; slot <= window.capacity; slot++) {
          expect(window.positionOf(slot)).toBe(held.get(slot) ?? -1)
        }
      }),
    )
  })

  test('writes again what is open from the head on, joined where it lies side by side', () => {
    const states = fc.array(fc.boolean(), { minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(states, fc.nat(35), (open, limit) => {
        const { window } = filled(open.length)
        open.forEach((is, slot) => {
          if (!is) window.state[slot] = Slot.delivered
        })
        window.sent = window.tail
        window.rewind()
        const pieces: number[][] = []
        const told: number[] = []
        window.send(
          limit,
          (bytes) => pieces.push([...bytes]),
          (slot) => told.push(slot),
        )
        const expected = open.flatMap((is, slot) => (is && slot < limit ? [slot] : []))
        expect(pieces.flat()).toEqual(expected)
        expect(told).toEqual(expected)
        const runs = expected.filter((slot, index) => expected[index - 1] !== slot - 1)
        expect(pieces).toHaveLength(runs.length)
        expect(window.sent).toBe(Math.min(open.length, limit))
      }),
    )
  })

  test('passes over slots without a frame, and knows when its head is settled', () => {
    const window = new Window(10, SLAB_BYTES)
    expect(window.isSettled).toBe(false)
    window.state[window.open(0, 0)] = Slot.done
    expect(window.isSettled).toBe(true)
    const slot = window.open(0, 0)
    const pieces: number[] = []
    window.send(10, (bytes) => pieces.push(bytes.length))
    expect([pieces, slot, window.next]).toEqual([[], 1, 2])
    window.release()
    expect([window.isSettled, window.sent]).toEqual([false, 2])
  })
})
