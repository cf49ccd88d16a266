import { expect, test } from 'vitest'
import { TopicAliases } from '../../../src/mqtt/topic-aliases.ts'
import { payloadOf, viewOf } from '../../support/views.ts'

test('topic aliases are learnt, replaced and put in place with everything else of the message kept', () => {
  const aliases = new TopicAliases(2)
  aliases.resolve(viewOf({ name: 'first' }), 2)
  const second = viewOf({ name: '', head: 'props', payload: 'body' })
  aliases.resolve(second, 2)
  expect(second.name).toBe('first')
  expect(second.buffer.latin1Slice(second.headStart, second.headEnd)).toBe('props')
  expect(payloadOf(second).toString()).toBe('body')
  aliases.resolve(viewOf({ name: 'other' }), 2)
  const third = viewOf({ name: '' })
  aliases.resolve(third, 2)
  expect(third.name).toBe('other')
})

test('topic aliases that are unknown, too high or absent break the link', () => {
  const aliases = new TopicAliases(2)
  for (const [name, alias] of [
    ['', 1],
    ['', 3],
    ['t', 3],
    ['', 0],
  ] as const) {
    expect(() => aliases.resolve(viewOf({ name }), alias)).toThrow(
      expect.objectContaining({ code: 'PROTOCOL_ERROR' }),
    )
  }
})
