import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  covers,
  matchSubject,
  matchTopic,
  minimalCover,
  overlaps,
  plainFilter,
  startsWithWildcard,
  validFilter,
  widenToDisjoint,
  wildcardCovers,
  wildcardsIntersect,
} from '../../../src/mapping/filters.ts'
import { filters as richFilters, SOME_RUNS } from './names-arbitrary.ts'

/** Every name of one to four parts over an alphabet; `z` occurs in no filter and so stands for all others. */
function namesOver(alphabet: readonly string[], separator: string): readonly string[] {
  let longest = alphabet.slice()
  const all = longest.slice()
  for (let length = 2; length <= 4; length++) {
    longest = longest.flatMap((name) => alphabet.map((part) => name + separator + part))
    all.push(...longest)
  }
  return all
}

const TOPICS = namesOver(['a', 'b', 'z', '$s'], '/')
const SUBJECTS = namesOver(['a', 'b', 'z'], '.')

const smallFilters = fc
  .tuple(
    fc.array(fc.constantFrom('a', 'b', '+', '+', '$s', '*'), { maxLength: 2 }),
    fc.constantFrom('a', 'b', '+', '#', '#', '>', '$s'),
  )
  .map(([levels, last]) => [...levels, last].join('/'))
const smallWildcards = fc
  .tuple(
    fc.array(fc.constantFrom('a', 'b', '*', '*'), { maxLength: 2 }),
    fc.constantFrom('a', 'b', '*', '>', '>'),
  )
  .map(([tokens, last]) => [...tokens, last].join('.'))

const numRuns = Math.ceil(SOME_RUNS / 2)

/** Asserts a property that says yes or no, and that both answers occurred in a fair share of the runs. */
function assertFairly<T>(
  arbitrary: fc.Arbitrary<T>,
  holds: (value: T) => [boolean, boolean],
): void {
  let yes = 0
  const check = (value: T): boolean => {
    const [actual, expected] = holds(value)
    if (expected) yes++
    return actual === expected
  }
  fc.assert(fc.property(arbitrary, check), { numRuns })
  expect(yes).toBeGreaterThan(numRuns / 20)
  expect(yes).toBeLessThan(numRuns * 0.95)
}

describe('legal filters', () => {
  it.each(['#', '+', 'a/#', '/#', '//+/', '$share/g/a', 'a b', 'a/*', 'a/>', 'x>y', '😀'])(
    'takes %s',
    (filter) => {
      expect(validFilter(filter)).toBeUndefined()
    },
  )

  it.each([
    ['', 'empty'],
    ['a#', "inside the level 'a#'"],
    ['+a/b', "inside the level '+a'"],
    ['a/#/b', "levels after '#'"],
    ['a/>/b', "levels after '>'"],
    ['a\tb', 'U+0009'],
    ['a\ud800', 'not valid Unicode'],
    ['a'.repeat(65_536), 'longer than 65535 bytes'],
  ])('refuses %.20s and says why', (filter, text) => {
    expect(validFilter(filter)).toContain(text)
  })
})

describe('matching', () => {
  it.each([
    ['a/#', 'a', true],
    ['a/#', 'a/', true],
    ['a/#', 'a/b/c', true],
    ['a/#', 'ab', false],
    ['a/+', 'a', false],
    ['a/+', 'a/', true],
    ['+/+', '/a', true],
    ['/+', '/a', true],
    ['+', '/a', false],
    ['#', '$x', false],
    ['+/a', '$x/a', false],
    ['*', '$x', false],
    ['>', '$x/y', false],
    ['$x/#', '$x', true],
    ['+x/a', '$x/a', false],
    ['a/#', 'a/$x', true],
    ['a/>', 'a', false],
    ['a/>', 'a/b/c', true],
    ['a/*/c', 'a/b/c', true],
    ['a/b*', 'a/bc', false],
    ['a/b', 'a/b/c', false],
    ['a/b/c', 'a/b', false],
  ])('of filter %s and topic %s gives %s', (filter, topic, expected) => {
    expect(matchTopic(filter, topic)).toBe(expected)
  })

  it.each([
    ['a.>', 'a', false],
    ['a.>', 'a.b.c', true],
    ['>', '$JS.API', true],
    ['*', 'a.b', false],
    ['a.#', 'a', false],
    ['a.+', 'a.b', false],
    ['a.*', 'a./', true],
  ])('of wildcard %s and subject %s gives %s', (wildcard, subject, expected) => {
    expect(matchSubject(wildcard, subject)).toBe(expected)
  })

  it('knows which filters begin with a wildcard', () => {
    expect(['#', '+/a', '*/a', '>'].every(startsWithWildcard)).toBe(true)
    expect(['', '/#', 'a/+', '*a', '$x'].some(startsWithWildcard)).toBe(false)
  })
})

describe('filters as a broker is told them', () => {
  it.each([
    ['a/*', 'a/+'],
    ['a/>', 'a/+/#'],
    ['>', '#'],
    ['+/#', '#'],
    ['+/+/#', '+/+/#'],
    ['a*/b', 'a*/b'],
  ])('turns %s into %s', (filter, plain) => {
    expect(plainFilter(filter)).toBe(plain)
  })

  it('match the same topics', () => {
    fc.assert(
      fc.property(smallFilters, (filter) =>
        TOPICS.every(
          (topic) => matchTopic(filter, topic) === matchTopic(plainFilter(filter), topic),
        ),
      ),
      { numRuns },
    )
  })
})

describe('comparing filters', () => {
  it('finds that one covers another exactly when it matches all its topics', () => {
    assertFairly(fc.tuple(smallFilters, smallFilters), ([a, b]) => [
      covers(a, b),
      TOPICS.every((topic) => !matchTopic(b, topic) || matchTopic(a, topic)),
    ])
  })

  it('finds that two overlap exactly when a topic matches both', () => {
    assertFairly(fc.tuple(smallFilters, smallFilters), ([a, b]) => [
      overlaps(a, b),
      TOPICS.some((topic) => matchTopic(a, topic) && matchTopic(b, topic)),
    ])
  })

  it('keeps what a filter stands for when the names are awkward', () => {
    fc.assert(
      fc.property(richFilters, richFilters, (a, b) => {
        const isSymmetric = overlaps(a, b) === overlaps(b, a)
        return isSymmetric && covers(a, a) && (!covers(a, b) || overlaps(a, b))
      }),
      { numRuns: SOME_RUNS },
    )
  })
})

describe('comparing wildcards', () => {
  it('finds that one covers another exactly when it matches all its subjects', () => {
    assertFairly(fc.tuple(smallWildcards, smallWildcards), ([a, b]) => [
      wildcardCovers(a, b),
      SUBJECTS.every((subject) => !matchSubject(b, subject) || matchSubject(a, subject)),
    ])
  })

  it('intersects two into the wildcard that matches exactly what both match', () => {
    assertFairly(fc.tuple(smallWildcards, smallWildcards), ([a, b]) => {
      const both = wildcardsIntersect(a, b)
      const common = SUBJECTS.filter((name) => matchSubject(a, name) && matchSubject(b, name))
      const found = SUBJECTS.filter((name) => both !== undefined && matchSubject(both, name))
      expect(found).toEqual(common)
      return [both !== undefined, common.length > 0]
    })
  })

  it.each([
    ['a.>', '*.b', 'a.b'],
    ['>', 'a.*', 'a.*'],
    ['a.*.>', 'a.>', 'a.*.>'],
    ['a.>', 'a', undefined],
    ['a.*', 'b.*', undefined],
  ])('intersects %s and %s to %s', (a, b, both) => {
    expect(wildcardsIntersect(a, b)).toBe(both)
  })
})

describe('covering a list', () => {
  it('drops what another entry covers, and keeps one of two that say the same', () => {
    expect(minimalCover(['a/b', 'a/+', 'a/#', 'b', 'b'])).toEqual(['a/#', 'b'])
    expect(minimalCover(['#', '$SYS/#', '+/#'])).toEqual(['#', '$SYS/#'])
    expect(minimalCover(['>', '$x.>', 'a'], wildcardCovers)).toEqual(['>'])
  })

  it('matches what the whole list matches', () => {
    fc.assert(
      fc.property(fc.array(smallFilters, { maxLength: 6 }), (list) => {
        const cover = minimalCover(list)
        const isMinimal = cover.every((a) => cover.every((b) => a === b || !covers(a, b)))
        const isWhole = TOPICS.every(
          (topic) =>
            list.some((one) => matchTopic(one, topic)) ===
            cover.some((one) => matchTopic(one, topic)),
        )
        return isMinimal && isWhole && new Set(cover).size === cover.length
      }),
      { numRuns },
    )
  })
})

describe('widening a list', () => {
  it.each([
    [['a/+', '+/b'], ['+/+']],
    [['a/b/#', 'a/+'], ['a/+/#']],
    [
      ['a/#', 'b'],
      ['a/#', 'b'],
    ],
    [['+', 'x/#'], ['#']],
    [['a/+/c', 'a/b/+', 'a/d/e'], ['a/+/+']],
    [
      ['#', '$x/#'],
      ['#', '$x/#'],
    ],
  ])('makes %j into %j', (list, disjoint) => {
    expect(widenToDisjoint(list)).toEqual(disjoint)
  })

  it('leaves no overlap and loses no topic', () => {
    fc.assert(
      fc.property(fc.array(smallFilters, { maxLength: 5 }), (list) => {
        const wide = widenToDisjoint(list)
        const isDisjoint = wide.every((a, i) => wide.every((b, k) => i === k || !overlaps(a, b)))
        return isDisjoint && list.every((filter) => wide.some((one) => covers(one, filter)))
      }),
      { numRuns: SOME_RUNS },
    )
  })
})
