import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { prettyLine } from '../../../src/ops/pretty.ts'

const time = new Date(2026, 0, 2, 12, 3, 4, 5).toISOString()

describe('prettyLine', () => {
  it('shows local time, level, room, message and fields', () => {
    const json = JSON.stringify({
      time,
      level: 'warn',
      room: 'delivery',
      msg: 'dropped',
      topic: 'a b',
      count: 3,
      list: ['x'],
      none: null,
    })
    expect(prettyLine(json, false)).toBe(
      '12:03:04.005 warn  delivery dropped  topic="a b"  count=3  list=["x"]  none=null\n',
    )
  })

  it('shows an unknown level without colour', () => {
    const json = JSON.stringify({ time, level: 'fatal', room: 'a', msg: 'x' })
    expect(prettyLine(json, true)).toContain('fatal')
  })

  it('writes one line and no control character, whatever is logged', () => {
    const control = fc.constantFrom('\n', '\r', '\u001b', '\u009b', '\u0000', 'a', ' ', '"')
    const nasty = fc.array(control).map((chars) => chars.join(''))
    fc.assert(
      fc.property(nasty, nasty, nasty, (msg, name, value) => {
        const json = JSON.stringify({ time, level: 'info', room: 'x', msg, [`f${name}`]: value })
        expect(prettyLine(json, false).slice(0, -1)).not.toMatch(/\p{Cc}/u)
      }),
    )
  })
})
