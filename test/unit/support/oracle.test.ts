import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { numbering, Oracle, parseNumbered } from '../../support/oracle.ts'

const numbers = numbering('run')

function judge(arrivals: readonly (readonly [string, string])[], expected = [3, 2]) {
  const oracle = new Oracle('run', expected, (topic) => `t${topic}`)
  for (const [name, payload] of arrivals) oracle.arrive(name, payload)
  return oracle
}

const all = [
  ['t0', numbers.make(0, 0)],
  ['t1', numbers.make(1, 0)],
  ['t0', numbers.make(0, 1)],
  ['t0', numbers.make(0, 2)],
  ['t1', numbers.make(1, 1)],
] as const

const CLEAN = { lost: 0, doubled: 0, reordered: 0, foreign: 0 }

describe('the oracle', () => {
  it('is content when every message arrived once, in order per topic', () => {
    const oracle = judge(all)
    expect(oracle.complete()).toBe(true)
    expect(oracle.verdict()).toEqual({ ...CLEAN, arrived: 5, expected: 5, examples: [] })
  })

  it('finds a dropped message', () => {
    const oracle = judge(all.filter((_, i) => i !== 2))
    expect(oracle.complete()).toBe(false)
    expect(oracle.verdict()).toMatchObject({ ...CLEAN, lost: 1, examples: ['lost: 0:1'] })
  })

  it('finds a dropped message although another one came twice', () => {
    const oracle = judge([all[0], all[0], all[1], all[3], all[4]])
    expect(oracle.complete()).toBe(false)
    expect(oracle.verdict()).toMatchObject({ ...CLEAN, lost: 1, doubled: 1 })
  })

  it('finds a doubled message and does not call its late repeat reordered', () => {
    const verdict = judge([...all, all[0]]).verdict()
    expect(verdict).toMatchObject({ ...CLEAN, doubled: 1, examples: ['doubled: 0:0'] })
  })

  it('finds two swapped messages of one topic', () => {
    const verdict = judge([all[0], all[1], all[3], all[2], all[4]]).verdict()
    expect(verdict).toMatchObject({ ...CLEAN, reordered: 1, examples: ['reordered: 0:1 after 2'] })
  })

  it('finds strangers: another run, no number, a number too high, a wrong name', () => {
    const strange = [
      ['t0', numbering('other').make(0, 0)],
      ['t0', 'hello'],
      ['t0', numbers.make(0, 3)],
      ['t0', numbers.make(2, 0)],
    ] as const
    expect(judge([...all, ...strange]).verdict()).toMatchObject({ ...CLEAN, foreign: 4 })
    const misnamed = [['t1', numbers.make(0, 0)], ...all.slice(1)] as const
    expect(judge(misnamed).verdict()).toMatchObject({ ...CLEAN, foreign: 1 })
  })

  it('counts exactly whatever is dropped and doubled', () => {
    const times = fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 50 })
    fc.assert(
      fc.property(times, (copies) => {
        const oracle = new Oracle('run', [copies.length])
        for (const [seq, count] of copies.entries()) {
          for (let i = 0; i < count; i++) oracle.arrive('any', numbers.make(0, seq))
        }
        expect(oracle.verdict()).toMatchObject({
          lost: copies.filter((count) => count === 0).length,
          doubled: copies.reduce((sum, count) => sum + Math.max(0, count - 1), 0),
          reordered: 0,
          foreign: 0,
        })
      }),
    )
  })

  it('finds a reordering in every permutation that is not the original order', () => {
    const order = fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 5 })
    fc.assert(
      fc.property(order, (seqs) => {
        const oracle = new Oracle('run', [5])
        for (const seq of seqs) oracle.arrive('any', numbers.make(0, seq))
        const sorted = seqs.every((seq, i) => seq === i)
        expect(oracle.verdict().reordered === 0).toBe(sorted)
      }),
    )
  })
})

describe('numbered payloads', () => {
  it('say which message they are, at any size', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat({ max: 500 }), (topicIndex, seq, size) => {
        const payload = numbers.make(topicIndex, seq, size)
        expect(payload.length).toBeGreaterThanOrEqual(size)
        expect(parseNumbered(Buffer.from(payload))).toEqual({ run: 'run', topicIndex, seq })
      }),
    )
  })

  it('are not recognised when they are cut or changed', () => {
    expect(parseNumbered('run:1:2')).toBeUndefined()
    expect(parseNumbered(`${numbers.make(1, 2, 50)}y`)).toBeUndefined()
  })
})
