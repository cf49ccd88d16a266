import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FrameBuffer, SLAB_BYTES } from '../../../src/core/frame-buffer.ts'

function append(frames: FrameBuffer, size: number, fill: number): { start: number } {
  frames.reserve(size)
  const start = frames.at
  frames.buffer.fill(fill, start, start + size)
  frames.at = start + size
  return { start }
}

const step = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    size: fc.oneof(
      fc.integer({ min: 0, max: 50 }),
      fc.integer({ min: 50_000, max: SLAB_BYTES * 2 }),
    ),
  }),
  fc.record({ kind: fc.constant('aside' as const), size: fc.integer({ min: 1, max: 90_000 }) }),
  fc.record({ kind: fc.constant('flush' as const), size: fc.constant(0) }),
)

describe('the frame buffer', () => {
  test('flushes what is pending in order, never what was set aside, and changes neither afterwards', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const frames = new FrameBuffer()
        const expected: Buffer[] = []
        const flushed: Buffer[] = []
        const kept: { frame: Buffer; copy: Buffer }[] = []
        let fill = 0
        const flush = () => frames.flush((bytes) => flushed.push(bytes))
        for (const { kind, size } of steps) {
          if (kind === 'flush') {
            flush()
            expect(frames.pending).toBe(false)
            continue
          }
          fill = (fill + 1) % 256
          const slab = frames.slab
          const { start } = append(frames, size, fill)
          expect(frames.slab).toBeGreaterThanOrEqual(slab)
          const frame = frames.buffer.subarray(start, frames.at)
          kept.push({ frame, copy: Buffer.from(frame) })
          if (kind === 'aside') frames.setAside(start)
          else expected.push(Buffer.from(frame))
        }
        flush()
        expect(Buffer.concat(flushed).equals(Buffer.concat(expected))).toBe(true)
        for (const { frame, copy } of kept) expect(frame.equals(copy)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  test('gives a frame larger than a slab one of its own, and counts its memory', () => {
    const frames = new FrameBuffer()
    append(frames, 10, 1)
    append(frames, SLAB_BYTES * 3 + 1, 2)
    expect(frames.slab).toBe(4)
    const pieces: number[] = []
    frames.flush((bytes) => pieces.push(bytes.length))
    expect(pieces).toEqual([10, SLAB_BYTES * 3 + 1])
  })

  test('joins neighbours into one piece', () => {
    const frames = new FrameBuffer()
    append(frames, 10, 1)
    append(frames, 20, 2)
    const pieces: number[] = []
    frames.flush((bytes) => pieces.push(bytes.length))
    expect(pieces).toEqual([30])
  })
})
