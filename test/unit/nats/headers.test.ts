import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HeaderReader, headerOf, statusOf } from '../../../src/nats/headers.ts'
import { viewOf } from '../../support/views.ts'

const block = (...lines: string[]): string => `NATS/1.0\r\n${lines.join('\r\n')}\r\n\r\n`
const reader = new HeaderReader('me')

function read(head: string, payload = '') {
  const view = viewOf({ name: 'a', head, payload, qos: 2, retain: true, own: true })
  reader.read(view)
  return { qos: view.qos, retain: view.retain, own: view.own }
}

const NOTHING = { qos: -1, retain: false, own: false }

describe("the bridge's own headers", () => {
  test('are read into the view, wherever they stand', () => {
    const other = fc.constantFrom('A: b', 'Mqtt-Other: 1', 'M: 1', 'Mqtt-QoS2: 1', 'X-Mqtt-QoS: 1')
    fc.assert(
      fc.property(
        fc.array(other, { maxLength: 4 }),
        fc.constantFrom(0, 1, 2),
        fc.boolean(),
        fc.boolean(),
        (others, qos, retain, own) => {
          const lines = [
            ...others,
            `Mqtt-QoS: ${qos}`,
            ...(own ? ['Mqtt-Origin: me'] : ['Mqtt-Origin: me2']),
            ...others,
            ...(retain ? ['Mqtt-Retain:1'] : ['Mqtt-Retain: 0']),
          ]
          expect(read(block(...lines))).toEqual({ qos, retain, own })
        },
      ),
    )
  })

  test('are absent when there are none, or their values make no sense', () => {
    expect(read('')).toEqual(NOTHING)
    expect(read(block())).toEqual(NOTHING)
    expect(read(block('Mqtt-QoS: 3', 'Mqtt-Retain: yes', 'Mqtt-Origin: m'))).toEqual(NOTHING)
    expect(read(block('Mqtt-QoS: 11', 'mqtt-retain: 1'))).toEqual(NOTHING)
  })

  test('are not looked for in the payload', () => {
    expect(read(block('A: b'), 'Mqtt-QoS: 1\r\nMqtt-Origin: me\r\n')).toEqual(NOTHING)
  })

  test('of any block are read without a throw', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string(), (head, payload) => {
        const { qos } = read(head, payload)
        expect([-1, 0, 1, 2]).toContain(qos)
      }),
    )
  })
})

describe('other headers', () => {
  test('give the inline status', () => {
    const status = (head: string) => statusOf(viewOf({ name: 'a', head }))
    expect(status('NATS/1.0 503\r\n\r\n')).toBe(503)
    expect(status('NATS/1.0 408 Request Timeout\r\nA: b\r\n\r\n')).toBe(408)
    expect(['', 'NATS/1.0\r\n\r\n', 'NATS/1.0 abc\r\n\r\n', 'NATS/1.0 5'].map(status)).toEqual([
      0, 0, 0, 0,
    ])
  })

  test('are found by name', () => {
    const view = viewOf({ name: 'a', head: block('A: b', 'Nats-Pending-Messages:  7 ') })
    expect(headerOf(view, 'Nats-Pending-Messages')).toBe('7')
    expect(headerOf(view, 'A')).toBe('b')
    expect(headerOf(view, 'B')).toBeUndefined()
  })
})
