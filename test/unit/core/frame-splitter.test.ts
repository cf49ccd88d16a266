import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type FrameReader, FrameSplitter } from '../../../src/core/frame-splitter.ts'
import { chunkSizes, cut } from '../../support/chunks.ts'

const LIMIT = 2_000_000

/** A toy protocol: three bytes of length, then that many bytes. Says stop as the script of booleans tells. */
class Reader implements FrameReader {
  readonly maxFrame: number
  readonly headBytes = 4
  readonly seen: string[] = []
  readonly #takes: readonly boolean[]
  readonly #goes: readonly boolean[]
  #taken = 0
  #gone = 0

  constructor(takes: readonly boolean[], goes: readonly boolean[], maxFrame = LIMIT) {
    this.#takes = takes
    this.#goes = goes
    this.maxFrame = maxFrame
  }

  frameLength(buffer: Buffer, at: number, end: number): number {
    return end - at < 3 ? 0 : 3 + buffer.readUIntBE(at, 3)
  }

  headStep(): number {
    return 1
  }

  takes(): boolean {
    return this.#takes[this.#taken++ % this.#takes.length] ?? true
  }

  onFrame(buffer: Buffer, at: number, end: number): boolean {
    this.seen.push(buffer.toString('latin1', at, end))
    return this.#goes[this.#gone++ % this.#goes.length] ?? true
  }

  onOversize(buffer: Buffer, at: number, end: number, length: number): boolean {
    this.seen.push(`${buffer.toString('latin1', at, end)}…${length}`)
    return this.#goes[this.#gone++ % this.#goes.length] ?? true
  }
}

function frame(size: number, index: number): Buffer {
  const bytes = Buffer.alloc(3 + size, 65 + (index % 26))
  bytes.writeUIntBE(size, 0, 3)
  return bytes
}

const size = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 20 }) },
  { weight: 2, arbitrary: fc.integer({ min: 100, max: 9_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 100_000, max: 1_300_000 }) },
)
// the last one goes on, so that no script stops for ever
const script = fc.array(fc.boolean(), { maxLength: 5 }).map((one) => [...one, true])

describe('the frame splitter', () => {
  test('sees the same frames however the stream is cut and however often it is stopped', () => {
    fc.assert(
      fc.property(
        fc.array(size, { maxLength: 25 }),
        chunkSizes,
        script,
        script,
        fc.boolean(),
        (sizes, cuts, takes, goes, eager) => {
          const frames = sizes.map(frame)
          const reader = new Reader(takes, goes)
          const splitter = new FrameSplitter(reader)
          const stream = Buffer.concat(frames)
          const reused = Buffer.alloc(stream.length)
          let stopped = false
          for (const piece of cut(stream, cuts)) {
            // the chunk is the caller's again as soon as the call returns
            const chunk = reused.subarray(0, piece.copy(reused))
            stopped = !splitter.feed(chunk)
            reused.fill(255, 0, piece.length)
            while (eager && stopped) stopped = !splitter.resume()
          }
          while (stopped) stopped = !splitter.resume()
          expect(reader.seen.length).toBe(frames.length)
          reader.seen.forEach((one, index) => {
            expect(Buffer.from(one, 'latin1').equals(frames[index] as Buffer)).toBe(true)
          })
          expect(splitter.resume()).toBe(true)
        },
      ),
      { numRuns: 300 },
    )
  })

  test('shows the head of an oversize frame, skips the rest, and reads on behind it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 25 }),
        chunkSizes,
        script,
        script,
        (sizes, cuts, takes, goes) => {
          const reader = new Reader(takes, goes, 100)
          const splitter = new FrameSplitter(reader)
          for (const piece of cut(Buffer.concat(sizes.map(frame)), cuts)) {
            let goOn = splitter.feed(piece)
            while (!goOn) goOn = splitter.resume()
          }
          expect(reader.seen).toEqual(
            sizes.map((one, index) => {
              const bytes = frame(one, index).toString('latin1')
              return bytes.length <= 100 ? bytes : `${bytes.slice(0, 4)}…${bytes.length}`
            }),
          )
        },
      ),
    )
  })
})
