import { expect, test } from 'vitest'
import { ReadGate } from '../../../src/mqtt/read-gate.ts'

test('a read gate keeps copies of what still comes in while stopped, and delivers them in order', () => {
  const seen: string[] = []
  let goOn = true
  const gate = new ReadGate((chunk) => {
    seen.push(chunk.toString())
    return goOn
  })
  const reused = Buffer.from('a')
  expect(gate.take(reused)).toBe(true)
  goOn = false
  for (const text of ['b', 'c', 'd']) {
    reused.write(text)
    expect(gate.take(reused)).toBe(false)
  }
  reused.write('x')
  expect(seen).toEqual(['a', 'b'])
  expect(gate.resume()).toBe(false)
  expect(seen).toEqual(['a', 'b', 'c'])
  expect(gate.isEmpty).toBe(false)
  goOn = true
  expect(gate.resume()).toBe(true)
  expect(seen).toEqual(['a', 'b', 'c', 'd'])
  expect(gate.isEmpty).toBe(true)
})

test('a cleared read gate has nothing left to deliver', () => {
  const seen: string[] = []
  const gate = new ReadGate((chunk) => {
    seen.push(chunk.toString())
    return false
  })
  gate.take(Buffer.from('a'))
  gate.take(Buffer.from('b'))
  gate.clear()
  expect(gate.resume()).toBe(true)
  expect(seen).toEqual(['a'])
})
