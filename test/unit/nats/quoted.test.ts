import { expect, it } from 'vitest'
import { unquoted } from '../../../src/nats/quoted.ts'

it.each([
  ['plain.subject', 'plain.subject'],
  ['a\\"b', 'a"b'],
  ['back\\\\slash', 'back\\slash'],
  ['\\a\\t\\n\\x01', '\u0007\t\n\u0001'],
  ['\\ufeff and \\U0001f600', '\ufeff and 😀'],
  ['\\Uffffffff', '\u{10ffff}'],
  ['温度', '温度'],
])('reads %j as nats-server means it', (quoted, text) => {
  expect(unquoted(quoted)).toBe(text)
})
