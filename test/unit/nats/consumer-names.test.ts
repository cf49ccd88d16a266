import { expect, test } from 'vitest'
import { consumerName, generationOf } from '../../../src/nats/consumer-names.ts'

test('no two pairs of bridge and route share the name of a consumer', () => {
  for (const end of ['c', '#']) {
    const pairs = [
      ['a', `b_${end}`],
      ['a_b', end],
    ] as const
    expect(new Set(pairs.map(([bridge, route]) => consumerName(bridge, route))).size).toBe(2)
  }
  expect(consumerName('a-b', 'c_d')).toBe('MQTTNATS_a-b_c_d')
})

test('the number of a consumer stands behind its own beginning only', () => {
  const base = consumerName('b', 'r')
  expect(generationOf(`${base}_12`, base)).toBe(12)
  expect(generationOf(`${base}_1_2`, base)).toBe(-1)
  expect(generationOf(consumerName('b', 'rr'), base)).toBe(-1)
})
