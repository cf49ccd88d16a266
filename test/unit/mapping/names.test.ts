import { describe, expect, it } from 'vitest'
import {
  checkPublishTopic,
  checkSubject,
  checkTopic,
  isReserved,
  MAX_SUBJECT_BYTES,
  MAX_TOPIC_BYTES,
  RESERVED_TOKENS,
} from '../../../src/mapping/names.ts'
import vectors from '../../vectors/topic-subject.json' with { type: 'json' }

describe('checking a topic', () => {
  it.each(['a', '/', '//', ' ', 'a b', '$x', 'a/*', 'é/温/😀', '\t'])('takes %j', (topic) => {
    expect(checkTopic(topic)).toBeUndefined()
  })

  it('refuses wildcards and the empty topic of the table, and leaves characters to the escape', () => {
    for (const { topic, why } of vectors.refusedTopics) {
      expect(checkTopic(topic)?.reason, JSON.stringify(topic)).toBe(
        why === 'character' ? undefined : 'unmappable',
      )
    }
  })

  it.each([
    ['a high surrogate alone', 'a\ud800b'],
    ['a high surrogate at the end', 'a\udbff'],
    ['a low surrogate alone', '\udc00'],
    ['what decoding leaves of broken bytes', 'a\ufffd'],
  ])('refuses %s', (_, topic) => {
    expect(checkTopic(topic)).toEqual({
      reason: 'unmappable',
      text: 'the name is not valid UTF-8',
    })
  })
})

describe('checking a topic for a broker', () => {
  it('takes a name of the full length and none longer, counted in bytes', () => {
    expect(checkPublishTopic('a'.repeat(MAX_TOPIC_BYTES))).toBeUndefined()
    expect(checkPublishTopic('a'.repeat(MAX_TOPIC_BYTES + 1))?.text).toContain('65535 bytes')
    expect(checkPublishTopic('温'.repeat(MAX_TOPIC_BYTES / 3))).toBeUndefined()
    expect(checkPublishTopic(`${'温'.repeat(MAX_TOPIC_BYTES / 3)}a`)?.reason).toBe('unmappable')
  })

  it.each([
    ['\0', 'U+0000'],
    ['\t', 'U+0009'],
    ['\u001f', 'U+001F'],
    ['\u007f', 'U+007F'],
    ['\u009f', 'U+009F'],
    ['\ufdd0', 'U+FDD0'],
    ['\ufdef', 'U+FDEF'],
    ['\uffff', 'U+FFFF'],
    ['\u{1fffe}', 'U+1FFFE'],
    ['\u{10ffff}', 'U+10FFFF'],
  ])('refuses the character that makes brokers hang up: %j', (character, name) => {
    expect(checkPublishTopic(`😀${character}`)?.text).toContain(`would hold ${name},`)
  })

  it.each([' ', '~', '\u00a0', '\ufdcf', '\ufdf0', '\u{1fffd}', 'a b'])('takes %j', (topic) => {
    expect(checkPublishTopic(topic)).toBeUndefined()
  })

  it.each(['', 'a/+', '#', '\udc00'])('refuses what is no topic at all: %j', (topic) => {
    expect(checkPublishTopic(topic)?.reason).toBe('unmappable')
  })
})

describe('checking a subject', () => {
  it.each(RESERVED_TOKENS)('refuses %s and everything below it', (token) => {
    expect(checkSubject(token)?.reason).toBe('reserved')
    expect(checkSubject(`${token}.a.b`)?.reason).toBe('reserved')
    expect(checkSubject(`${token}x.a`)).toBeUndefined()
    expect(checkSubject(`a.${token}`)).toBeUndefined()
    expect(isReserved(token.toLowerCase())).toBe(false)
  })

  it.each([
    ['', 'empty'],
    ['.a', 'empty token'],
    ['a.', 'empty token'],
    ['a..b', 'empty token'],
    ['a b', 'white space'],
    ['a\tb', 'white space'],
    ['a\0b', 'white space'],
  ])('refuses the illegal %j', (subject, text) => {
    expect(checkSubject(subject)?.reason).toBe('unmappable')
    expect(checkSubject(subject)?.text).toContain(text)
  })

  it.each(['a', '/', 'a.*', '>', '温.1', 'a\vb', '$G.x', '_x'])('takes %j', (subject) => {
    expect(checkSubject(subject)).toBeUndefined()
  })

  it('counts bytes against the control line, or against the limit it is given', () => {
    expect(MAX_SUBJECT_BYTES).toBeLessThan(vectors.limits.controlLineBytes)
    expect(checkSubject('a'.repeat(MAX_SUBJECT_BYTES))).toBeUndefined()
    expect(checkSubject('a'.repeat(MAX_SUBJECT_BYTES + 1))?.text).toContain('longer than')
    expect(checkSubject('温温', 6)).toBeUndefined()
    expect(checkSubject('温温', 5)?.reason).toBe('unmappable')
  })
})
