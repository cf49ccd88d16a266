import fc from 'fast-check'
import { expect, it } from 'vitest'
import { editDistance, nearest } from '../../../src/config/nearest.ts'

const word = fc.string({ maxLength: 12 })

it.each([
  ['', '', 0],
  ['', 'abc', 3],
  ['kitten', 'sitting', 3],
  ['ab', 'ba', 1],
  ['abcd', 'acbd', 1],
])('the distance of %j and %j is %d', (left, right, distance) => {
  expect(editDistance(left, right)).toBe(distance)
})

it('a distance is the same both ways, 0 for equal words only, and at most the longer length', () => {
  fc.assert(
    fc.property(word, word, (left, right) => {
      const distance = editDistance(left, right)
      expect(distance).toBe(editDistance(right, left))
      expect(distance === 0).toBe(left === right)
      expect(distance).toBeLessThanOrEqual(Math.max(left.length, right.length))
    }),
  )
})

it('finds the candidate that is most alike, letter case and dashes aside', () => {
  const candidates = ['keepalive', 'sessionExpiry', 'clientId']
  expect(nearest('keep-alive', candidates)).toBe('keepalive')
  expect(nearest('keepalvie', candidates)).toBe('keepalive')
  expect(nearest('CLIENT_ID', candidates)).toBe('clientId')
  expect(nearest('clientIds', candidates)).toBe('clientId')
})

it('finds none when nothing is alike', () => {
  expect(nearest('frobnicate', ['keepalive', 'clientId'])).toBeUndefined()
  expect(nearest('x', [])).toBeUndefined()
})
