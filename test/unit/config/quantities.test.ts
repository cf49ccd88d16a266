import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
} from '../../../src/config/quantities.ts'

const whole = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['4m', 240_000],
    ['12h', 43_200_000],
    ['7d', 604_800_000],
    ['7 d', 604_800_000],
    ['0s', 0],
  ])('reads %s as %d ms', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds)
  })

  it.each(['', '30', 's', '-1s', '1.5h', '1h30m', '1S', '1w', ' 1s', '1s ', '99999999999999999d'])(
    'refuses %j',
    (text) => expect(parseDuration(text)).toBeUndefined(),
  )

  it('reads what it writes', () => {
    fc.assert(fc.property(whole, (ms) => parseDuration(formatDuration(ms)) === ms))
  })

  it('writes the largest unit that divides', () => {
    expect([0, 1536, 1_048_576].map(formatSize)).toEqual(['0B', '1536B', '1MiB'])
    expect([0, 1, 1500, 90_000, 3_600_000, 172_800_000].map(formatDuration)).toEqual([
      ...['0s', '1ms', '1500ms', '90s', '1h', '2d'],
    ])
  })
})

describe('sizes', () => {
  it.each([
    ['512B', 512],
    ['64KiB', 65_536],
    ['1MiB', 1_048_576],
    ['2 GiB', 2_147_483_648],
  ])('reads %s as %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes)
  })

  it.each(['', '64', '64kb', '4MB', '1.5MiB', '-1B', '9007199254740992B', '9999999999999GiB'])(
    'refuses %j',
    (text) => expect(parseSize(text)).toBeUndefined(),
  )

  it('reads what it writes', () => {
    fc.assert(fc.property(whole, (bytes) => parseSize(formatSize(bytes)) === bytes))
  })
})

it('no text makes either throw', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      parseDuration(text)
      parseSize(text)
    }),
  )
})
