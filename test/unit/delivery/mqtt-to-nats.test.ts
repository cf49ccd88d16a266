import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Turn, World } from './mqtt-to-nats.model.ts'

const topic = fc
  .tuple(
    fc.constantFrom(
      'durable',
      'durable',
      'confirmed',
      'confirmed',
      'live',
      'refused',
      'copied',
      'denied',
      'deniedDurable',
    ),
    fc.nat(1),
  )
  .map(([kind, number]) => `${kind}${number}`)
const turn = fc.constantFrom<Turn>('take', 'take', 'take', 'refuse', 'nobody')

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(fc.constant('publish' as const), topic, fc.constantFrom(0, 1, 1)),
  },
  { weight: 6, arbitrary: fc.tuple(fc.constant('read' as const), fc.integer({ min: 1, max: 12 })) },
  {
    weight: 5,
    arbitrary: fc.tuple(fc.constant('serve' as const), fc.array(turn, { maxLength: 12 })),
  },
  { weight: 2, arbitrary: fc.tuple(fc.constant('natsDown' as const)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('natsUp' as const)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant('streamsKnown' as const)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('mqttReconnect' as const)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('mqttSessionLost' as const)) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constant('pass' as const), fc.constantFrom(50, 500, 11_000)),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constant('block' as const), fc.boolean()) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

function act(world: World, one: Step): void {
  switch (one[0]) {
    case 'publish':
      world.publish(one[1], one[2])
      break
    case 'read':
      world.read(one[1])
      break
    case 'serve':
      world.serve(one[1])
      break
    case 'pass':
      world.clock.pass(one[1])
      world.flow.tick()
      break
    case 'block':
      world.block(one[1])
      break
    default:
      world[one[0]]()
  }
}

/** Everything that can be right at any time. */
function check(world: World): void {
  expect(world.violations).toEqual([])
  expect(world.plans.imbalance).toBe(0)
  const { inFlight, limit, bytes, limitBytes } = world.flow.report()
  expect(inFlight).toBeLessThanOrEqual(limit)
  expect(bytes).toBeLessThanOrEqual(limitBytes)
  let books = 0
  for (const one of world.plans.books.values()) {
    expect(one.inFlight).toBeGreaterThanOrEqual(0)
    expect(one.forwardedTotal).toBeGreaterThanOrEqual(0)
    books += one.inFlight
  }
  expect(books).toBeLessThanOrEqual(inFlight)
}

/** Both sides are there and well; everything comes to its end. */
function finish(world: World): void {
  world.block(false)
  if (!world.outlet.up) world.natsUp()
  world.streamsKnown()
  for (let i = 0; i < 400 && (world.waiting > 0 || !world.flow.drained); i++) {
    world.read(100)
    world.serve(Array.from({ length: 100 }, () => 'take' as const))
    world.clock.pass(6_000)
    world.flow.tick()
    check(world)
  }
  world.serve(Array.from({ length: 1_000 }, () => 'take' as const))
  check(world)
  expect(world.waiting).toBe(0)
  expect(world.flow.drained).toBe(true)
}

function numbers(ids: readonly string[] | undefined): number[] {
  return (ids ?? []).map((id) => Number(id.slice(1)))
}

describe('the flow from MQTT to NATS', () => {
  test('acknowledges in order and on its own connection only, loses and reorders nothing, and balances its books, whatever happens', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const world = new World()
        for (const one of steps) {
          act(world, one)
          check(world)
        }
        finish(world)
        const stored = new Set(world.stored)
        for (const { id, topic: name, qos } of world.sent) {
          if (qos > 0 && /^(durable|confirmed)/.test(name)) expect(stored).toContain(id)
          if (/^(refused|copied|denied)/.test(name)) expect(stored).not.toContain(id)
        }
        for (const [name, ids] of world.firstWrites) {
          if (name.startsWith('live')) continue
          const qos1 = ids.filter((id) => world.sent.find((one) => one.id === id)?.qos === 1)
          const order = numbers(qos1)
          expect(order).toEqual([...order].sort((a, b) => a - b))
        }
        for (const books of world.plans.books.values()) expect(books.inFlight).toBe(0)
        expect(world.plans.get('refused').forwardedTotal).toBe(0)
        expect(world.plans.get('denied').forwarded[1]).toBe(0)
        expect(world.plans.get('deniedDurable').forwarded[1]).toBe(0)
      }),
      { numRuns: 1_500 },
    )
  })

  test('settles a message no stream takes as it is told', () => {
    for (const [verdict, reason] of [
      ['settled', undefined],
      ['noStream', 'noStream'],
    ] as const) {
      const world = new World()
      world.verdict = verdict
      world.natsUp()
      world.streamsKnown()
      world.publish('durable0', 1)
      world.read(1)
      world.serve(['nobody'])
      // the streams are looked at again when one may be gone
      expect(world.waiting).toBe(0)
      const books = world.plans.get('durable')
      expect(books.forwardedTotal).toBe(reason === undefined ? 1 : 0)
      expect(world.plans.dropped('durable', 'noStream')).toBe(reason === undefined ? 0 : 1)
      check(world)
    }
  })
})
