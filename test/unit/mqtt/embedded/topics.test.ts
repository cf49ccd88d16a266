import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { covers, isPublishable } from '../../../../src/mqtt/embedded/topics.ts'

const level = fc.constantFrom('', 'a', 'b', 'ab', '$x')
const topics = fc.array(level, { minLength: 1, maxLength: 5 }).map((levels) => levels.join('/'))
const filters = fc
  .tuple(
    fc.array(fc.constantFrom('', 'a', 'b', 'ab', '$x', '+'), { maxLength: 4 }),
    fc.constantFrom('#', 'a', '+', ''),
  )
  .map(([levels, last]) => [...levels, last].join('/'))

/** The rule of MQTT word for word, level by level. */
function naive(filter: string[], topic: string[]): boolean {
  if (filter[0] === '#') return true
  if (filter.length === 0) return topic.length === 0
  if (topic.length === 0) return false
  if (filter[0] !== '+' && filter[0] !== topic[0]) return false
  return naive(filter.slice(1), topic.slice(1))
}

describe('topic filters', () => {
  test.each([
    ['#', 'a', true],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
    ['a/#', 'a', true],
    ['a/#', 'ab', false],
    ['a/+', 'a', false],
    ['a/+', 'a/', true],
    ['+', '', true],
    ['a/b', 'a/b/c', false],
    ['a/+/c', 'a/b/c', true],
    ['/+', '/a', true],
    ['+', '/a', false],
  ])('%j covers %j: %s', (filter, topic, expected) => {
    expect(covers(filter, topic)).toBe(expected)
  })

  test('covering agrees with the rule applied level by level', () => {
    fc.assert(
      fc.property(filters, topics, (filter, topic) => {
        const hidden = topic.startsWith('$') && /^[#+]/.test(filter)
        expect(covers(filter, topic)).toBe(!hidden && naive(filter.split('/'), topic.split('/')))
      }),
      { numRuns: 5_000 },
    )
  })

  test.each(['', 'a/#', 'a+', 'a\0', '$SYS/x'])('nothing is published to %j', (topic) => {
    expect(isPublishable(topic)).toBe(false)
  })
})
