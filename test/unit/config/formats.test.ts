import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { coerce } from '../../../src/config/coerce.ts'
import {
  anyOf,
  boolean,
  choice,
  duration,
  type Format,
  integer,
  path,
  secret,
  show,
  size,
  text,
} from '../../../src/config/formats.ts'
import { SETTING_PATHS, settingOf } from '../../../src/config/schema.ts'

function mistake(format: Format<unknown>, value: unknown): string | undefined {
  const parsed = format.parse(value)
  return parsed.ok ? undefined : parsed.mistakes[0]?.text
}

function value<T>(format: Format<T>, written: unknown): T | undefined {
  const parsed = format.parse(written)
  return parsed.ok ? parsed.value : undefined
}

describe('text', () => {
  const name = text('a name', 5)
  it('takes one line up to its length', () => {
    expect(value(name, 'abcde')).toBe('abcde')
    expect(mistake(name, 'abcdef')).toContain('at most 5')
    expect(mistake(name, '')).toContain('is empty')
    expect(mistake(name, 'a\0')).toBe("'a·' holds control characters: write a name")
    expect(mistake(name, '\ud800')).toContain('control characters')
  })
  it('asks for quotes round a number', () => {
    expect(mistake(name, 5)).toBe('5 is not text: write a name, in quotes if need be')
  })
})

it('a path that is the content of a file is refused without repeating it', () => {
  const file = path('a path')
  expect(value(file, '/a b/c')).toBe('/a b/c')
  expect(mistake(file, '-----BEGIN\ncanary')).not.toContain('canary')
  expect(mistake(file, 7)).toContain('7 is not text')
})

it('a secret may have several lines, and no mistake repeats it', () => {
  const password = secret('the password')
  expect(value(password, 'a\nb')).toBe('a\nb')
  expect(mistake(password, '')).toBe('is empty: write the password')
  expect(mistake(password, 12_345)).toBe('is not text: write the password, in quotes')
})

it('an integer is whole and in range', () => {
  const window = integer(1, 10)
  expect(value(window, 10)).toBe(10)
  expect(mistake(window, 11)).toContain('out of range')
  expect(mistake(window, 0)).toContain('out of range')
  expect(mistake(window, 1.5)).toContain('not a whole number')
  expect(mistake(window, '5')).toContain('not a whole number')
})

it('a boolean is true or false', () => {
  expect(value(boolean(), false)).toBe(false)
  expect(mistake(boolean(), 'yes')).toBe("'yes' is neither: write true or false")
})

it('a choice is one of its options, as text too, and guesses what was meant', () => {
  const version = choice([5, 4])
  expect(value(version, '4')).toBe(4)
  expect(mistake(version, 3)).toBe('3 is not known: write 5 or 4')
  expect(mistake(version, [5])).toBe('a list is not known: write 5 or 4')
  expect(mistake(choice(['event', 'state']), 'evnt')).toContain('did you mean event?')
})

it('a duration is read into its unit and kept in range', () => {
  expect(value(duration('s', 0, 60_000), '1m')).toBe(60)
  expect(value(duration('ms', 0, 60_000), '1m')).toBe(60_000)
  const seconds = duration('s', 1000, 60_000)
  expect(mistake(seconds, '1500ms')).toContain('not whole seconds')
  expect(mistake(seconds, '2m')).toContain('write a duration from 1s to 1m')
  expect(mistake(seconds, '0s')).toContain('out of range')
  expect(mistake(seconds, 30)).toBe('30 has no unit: write 30s or 30ms')
  expect(mistake(seconds, 'soon')).toContain('such as 30s')
  expect(mistake(seconds, ['30'])).toContain('a list is not a duration')
})

it('a size is read into bytes and kept in range', () => {
  const bytes = size(1024, 65_536)
  expect(value(bytes, '64KiB')).toBe(65_536)
  expect(mistake(bytes, '65KiB')).toContain('out of range')
  expect(mistake(bytes, '1B')).toContain('write a size from 1KiB to 64KiB')
  expect(mistake(bytes, 4096)).toBe('4096 has no unit: write 4096B or 4096KiB')
  expect(mistake(bytes, '4MB')).toContain('B, KiB, MiB or GiB')
})

it('a shown value is short and on one line', () => {
  expect(show('a\nb')).toBe("'a·b'")
  expect(show('x'.repeat(100))).toBe(`'${'x'.repeat(60)}…'`)
  expect([null, undefined, [1], { a: 1 }, true, 1n].map(show)).toEqual([
    ...['nothing', 'nothing', 'a list', 'a section', 'true', '1'],
  ])
})

it('words are listed as a sentence does', () => {
  expect([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(anyOf)).toEqual([
    ...['', 'a', 'a or b', 'a, b or c'],
  ])
})

it('text of a variable or flag becomes the type of its setting, or stays text', () => {
  expect(coerce('integer', ' 42 ')).toBe(42)
  expect(coerce('integer', '42x')).toBe('42x')
  expect(coerce('boolean', 'TRUE')).toBe(true)
  expect(coerce('boolean', 'false')).toBe(false)
  expect(coerce('boolean', 'constructor')).toBe('constructor')
  expect(coerce('texts', 'a')).toEqual(['a'])
  expect(coerce('routes', '[1]')).toEqual([1])
  expect(coerce('routes', '[')).toBe('[')
  expect(coerce('routes', '{"a":1}')).toBe('{"a":1}')
  expect(coerce('addresses', ' embedded ')).toBe('embedded')
  expect(coerce('addresses', 'a://b, c://d')).toEqual(['a://b', 'c://d'])
  expect(coerce('addresses', ' ')).toBe(' ')
  expect(coerce('text', '42')).toBe('42')
})

it('no value makes a setting throw', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...SETTING_PATHS),
      fc.anything({ withNullPrototype: true }),
      (setting, anything) => {
        const parsed = settingOf(setting).format.parse(anything)
        if (!parsed.ok) expect(parsed.mistakes.length).toBeGreaterThan(0)
      },
    ),
    { numRuns: 2000 },
  )
})

it('every default passes its own check', () => {
  for (const setting of SETTING_PATHS) {
    const { format, preset } = settingOf(setting)
    if (preset !== null) expect([setting, format.parse(preset).ok]).toEqual([setting, true])
  }
})
