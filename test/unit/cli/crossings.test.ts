import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CrossingPrinter, crossingLine, preview } from '../../../src/cli/crossings.ts'
import { painter } from '../../../src/cli/terminal.ts'
import type { Decision } from '../../../src/core/decision.ts'
import type { Clock } from '../../../src/core/ports.ts'

const PLAIN = painter(false)
const NOON = new Date(2026, 0, 2, 12, 0, 0)

describe('the line of a crossing', () => {
  it('says when, which way, as what, and how the payload begins', () => {
    expect(crossingLine({ decision: decision(), payload: Buffer.from('21.5') }, NOON, PLAIN)).toBe(
      '12:00:00  MQTT mqtt/a → NATS a  21.5\n',
    )
    const back = decision({ direction: 'natsToMqtt', name: 'a', address: 'mqtt/a', retain: true })
    expect(crossingLine({ decision: back, payload: Buffer.from('x') }, NOON, PLAIN)).toBe(
      '12:00:00  NATS a → MQTT mqtt/a  x…  retained\n',
    )
  })

  it('says why a message did not cross', () => {
    const dropped = decision({ outcome: 'tooLarge', address: '' })
    expect(crossingLine({ decision: dropped, payload: Buffer.from('21.5') }, NOON, PLAIN)).toBe(
      '12:00:00  MQTT mqtt/a ✗ tooLarge  21.5\n',
    )
  })

  it('never lets a name or payload steer the terminal', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.uint8Array({ maxLength: 200 }),
        (name, payload) => {
          const line = crossingLine({ decision: decision({ name }), payload }, NOON, PLAIN)
          expect(line.slice(0, -1)).not.toMatch(/\p{Cc}/u)
        },
      ),
    )
  })
})

describe('the preview of a payload', () => {
  it('is text where it is text, bytes where it is not', () => {
    expect(preview(Buffer.from('grüße'), 7)).toBe('grüße')
    expect(preview(Buffer.alloc(0), 0)).toBe('(empty)')
    expect(preview(Buffer.from([0, 1, 255]), 3)).toBe('(3 bytes: 0001ff)')
    expect(preview(Buffer.from('a\0b'), 3)).toBe('(3 bytes: 610062)')
    expect(preview(Buffer.alloc(9, 255), 5000)).toBe('(5000 bytes: ffffffffffffffff…)')
  })

  it('is short, and leaves out a character that was cut', () => {
    expect(preview(Buffer.from('a'.repeat(200)), 200)).toBe(`${'a'.repeat(60)}…`)
    expect(preview(Buffer.from('ü').subarray(0, 1), 2)).toBe('…')
  })
})

describe('the printer of crossings', () => {
  it('shows as many as people can read and counts the rest', () => {
    const { printer, lines, pass } = stage()
    for (let sent = 0; sent < 60; sent++)
      printer.show({ decision: decision(), payload: Buffer.from('x') })
    expect(lines).toHaveLength(50)
    pass()
    expect(lines.slice(50)).toEqual(['… 10 more, not shown\n'])
    printer.show({ decision: decision(), payload: Buffer.from('x') })
    expect(lines).toHaveLength(52)
  })

  it('says at the end what was left out, and nothing when nothing was', () => {
    const { printer, lines } = stage()
    printer.flush()
    expect(lines).toEqual([])
    for (let sent = 0; sent < 51; sent++)
      printer.show({ decision: decision(), payload: Buffer.from('x') })
    printer.flush()
    expect(lines.at(-1)).toBe('… 1 more, not shown\n')
  })
})

function stage() {
  const lines: string[] = []
  let due: () => void = () => undefined
  const clock: Clock = {
    now: () => NOON.getTime(),
    monotonic: () => 0,
    after: (_, callback) => {
      due = callback
      return () => undefined
    },
    random: () => 0,
  }
  const printer = new CrossingPrinter((line) => lines.push(line), PLAIN, clock)
  return { printer, lines, pass: () => due() }
}

function decision(changes: Partial<Decision> = {}): Decision {
  return {
    direction: 'mqttToNats',
    route: '#',
    name: 'mqtt/a',
    address: 'a',
    qos: 1,
    retain: false,
    bytes: 4,
    outcome: 'inFlight',
    ...changes,
  }
}
