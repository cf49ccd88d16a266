import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  filterToWildcards,
  needsEscape,
  subjectToTopic,
  subjectToTopicLossy,
  topicToSubject,
} from '../../../src/mapping/codec.ts'
import {
  matchSubject,
  matchTopic,
  startsWithWildcard,
  validFilter,
} from '../../../src/mapping/filters.ts'
import { checkSubject } from '../../../src/mapping/names.ts'
import vectors from '../../vectors/topic-subject.json' with { type: 'json' }
import { filterAndTopic, RUNS, SOME_RUNS, subjects, topics } from './names-arbitrary.ts'

/** nats-server's conversion as its rules are written down, without regard to speed or escapes. */
function serverConversion(topic: string): string {
  let out = ''
  for (let i = 0; i < topic.length; i++) {
    const char = topic.charAt(i)
    const isLast = i === topic.length - 1
    if (char === '.') out += '//'
    else if (char !== '/') out += char
    else if (i === 0 || out.endsWith('.')) out += '/.'
    else if (isLast || topic.charAt(i + 1) === '/') out += './'
    else out += '.'
  }
  return out.endsWith('.') ? `${out}/` : out
}

const ESCAPED = [' ', '\t', '\n', '\f', '\r', '\0', '\u007f']

describe('topic to subject', () => {
  it.each(vectors.publishes)('turns $topic into $subject and back', ({ topic, subject }) => {
    expect(topicToSubject(topic)).toBe(subject)
    expect(subjectToTopic(subject)).toBe(topic)
    expect(subjectToTopicLossy(subject)).toBe(topic)
    expect(needsEscape(topic)).toBe(false)
  })

  it('does what nats-server does for every name that server takes', () => {
    const taken = topics.filter((topic) => !needsEscape(topic))
    fc.assert(
      fc.property(taken, (topic) => topicToSubject(topic) === serverConversion(topic)),
      { numRuns: SOME_RUNS },
    )
  })

  it('leaves the empty name and plain names as they are', () => {
    expect(topicToSubject('')).toBe('')
    expect(topicToSubject('a-b_1')).toBe('a-b_1')
  })

  it.each([
    ['foo bar', 'foo/20bar'],
    [' ', '/20'],
    ['/ ', '/./20'],
    [' /x', '/20.x'],
    ['. ', '///20'],
    ['a\tb\nc\fd\re\0f\u007fg', 'a/09b/0ac/0cd/0de/00f/7fg'],
    ['a//20', 'a./.20'],
    ['a.20', 'a//20'],
  ])('escapes %j as %s, reversibly', (topic, subject) => {
    expect(topicToSubject(topic)).toBe(subject)
    expect(subjectToTopic(subject)).toBe(topic)
  })

  it('escapes exactly the characters nats-server refuses', () => {
    for (let code = 0; code < 0x100; code++) {
      const char = String.fromCharCode(code)
      expect(needsEscape(`a${char}b`), `U+${code.toString(16)}`).toBe(ESCAPED.includes(char))
    }
    for (const { topic, why } of vectors.refusedTopics) {
      expect(needsEscape(topic), JSON.stringify(topic)).toBe(why === 'character')
    }
  })

  it('comes back to the same topic, for every topic', () => {
    let escaped = 0
    fc.assert(
      fc.property(topics, (topic) => {
        if (needsEscape(topic)) escaped++
        return subjectToTopic(topicToSubject(topic)) === topic
      }),
      { numRuns: RUNS },
    )
    expect(escaped).toBeGreaterThan(RUNS / 5)
  })

  it('gives a legal subject for every topic outside the reserved space', () => {
    fc.assert(
      fc.property(topics, (topic) => {
        const refusal = checkSubject(topicToSubject(topic))
        return refusal === undefined || refusal.reason === 'reserved'
      }),
      { numRuns: SOME_RUNS },
    )
  })
})

describe('subject to topic', () => {
  it.each(vectors.arrivals)('reads $subject as nats-server does', ({ subject, topic, returns }) => {
    expect(subjectToTopicLossy(subject)).toBe(topic)
    expect(subjectToTopic(subject)).toBe(returns ? topic : undefined)
  })

  it.each(vectors.refusedSubjects)('has no topic for the illegal $subject', ({ subject }) => {
    expect(subjectToTopic(subject)).toBeUndefined()
    expect(checkSubject(subject)?.reason).toBe('unmappable')
  })

  it.each([
    ['', 'nothing'],
    ['.a', 'an empty first token'],
    ['a.', 'an empty last token'],
    ['a..b', 'an empty token'],
    ['a b', 'a raw space'],
    ['a\u007fb', 'a raw DEL'],
    ['a/2', 'half an escape'],
    ['a/0A', 'an escape in capitals'],
    ['a/2fb', 'an escape nobody writes'],
  ])('has no topic for %j: %s', (subject) => {
    expect(subjectToTopic(subject)).toBeUndefined()
  })

  it('is defined exactly when the topic converts to the same subject, for every subject', () => {
    let defined = 0
    fc.assert(
      fc.property(subjects, (subject) => {
        const topic = subjectToTopic(subject)
        if (topic !== undefined) defined++
        const isConversion = topic !== undefined && topicToSubject(topic) === subject
        // Without an escape in it, a subject has a topic exactly when the server's own reading returns.
        const plain = subjectToTopicLossy(subject)
        const isServerConversion =
          plain !== '' && !needsEscape(plain) && topicToSubject(plain) === subject
        return isConversion === (topic !== undefined) && (!isServerConversion || topic === plain)
      }),
      { numRuns: RUNS },
    )
    expect(defined).toBeGreaterThan(RUNS / 20)
    expect(defined).toBeLessThan(RUNS * 0.95)
  })
})

describe('filter to wildcards', () => {
  it.each([
    ['#', ['>']],
    ['+', ['*']],
    ['foo/#', ['foo.>', 'foo']],
    ['+/#', ['*.>', '*']],
    ['foo/+/bar', ['foo.*.bar']],
    ['foo//#', ['foo./.>', 'foo./']],
    ['//#', ['/./.>', '/./']],
    ['a.b/x y/#', ['a//b.x/20y.>', 'a//b.x/20y']],
    ['foo/*', ['foo.*']],
    ['foo/>', ['foo.>']],
  ])('turns %s into %j', (filter, wildcards) => {
    expect(filterToWildcards(filter)).toEqual(wildcards)
  })

  const granted = vectors.filters.filter((row) => validFilter(row.filter) === undefined)

  it('refuses exactly the malformed filters of the table', () => {
    const malformed = vectors.filters.filter((row) => validFilter(row.filter) !== undefined)
    expect(malformed.map((row) => row.filter)).toEqual(['foo/#/bar', 'foo#', 'foo+'])
    expect(malformed.some((row) => row.granted)).toBe(false)
  })

  it.each(granted)('lets $filter match what reaches it on nats-server', ({ filter, delivered }) => {
    for (const [subject, names] of Object.entries(delivered)) {
      const topic = subjectToTopicLossy(subject)
      const isHidden = subject.startsWith('$') && startsWithWildcard(filter)
      const byWildcard = filterToWildcards(filter).some((one) => matchSubject(one, subject))
      expect(byWildcard && !isHidden, subject).toBe(names.length > 0)
      expect(matchTopic(filter, topic), topic).toBe(names.length > 0)
      expect(names.every((name) => name === topic)).toBe(true)
    }
  })

  // NATS has no `$` rule: `>` matches `$x`. On MQTT the rule is part of matching; on the NATS side the
  // bridge applies it to what it receives. So both are compared with the rule in force.
  it('matches the subject exactly when the filter matches the topic', () => {
    let matched = 0
    let hidden = 0
    fc.assert(
      fc.property(filterAndTopic, ({ filter, topic }) => {
        const subject = topicToSubject(topic)
        const byWildcard = filterToWildcards(filter).some((one) => matchSubject(one, subject))
        const isHidden = subject.startsWith('$') && startsWithWildcard(filter)
        if (byWildcard) matched++
        if (byWildcard && isHidden) hidden++
        return matchTopic(filter, topic) === (byWildcard && !isHidden)
      }),
      { numRuns: RUNS },
    )
    expect(matched).toBeGreaterThan(RUNS / 4)
    expect(matched).toBeLessThan(RUNS * 0.9)
    expect(hidden).toBeGreaterThan(0)
  })
})
