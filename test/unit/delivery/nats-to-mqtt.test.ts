import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { World } from './nats-to-mqtt.model.ts'

const subject = fc
  .tuple(fc.constantFrom('stream', 'stream', 'stream', 'refused', 'foreign', 'large'), fc.nat(1))
  .map(([kind, number]) => `${kind}${number}`)
const qos = fc.constantFrom(-1, 0, 1, 1, 1)

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.tuple(
      fc.constant('store' as const),
      subject,
      qos,
      fc.constantFrom(false, false, false, true),
    ),
  },
  {
    weight: 6,
    arbitrary: fc.tuple(
      fc.constant('deliver' as const),
      fc.integer({ min: 0, max: 12 }),
      fc.array(qos, { maxLength: 3 }),
    ),
  },
  {
    weight: 5,
    arbitrary: fc.tuple(
      fc.constant('acknowledge' as const),
      fc.array(fc.nat(20), { maxLength: 8 }),
      fc.constantFrom(false, false, false, true),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(
      fc.constant('mqttUp' as const),
      fc.constantFrom(1, 2, 3, 10, 65_535),
      fc.boolean(),
    ),
  },
  { weight: 2, arbitrary: fc.tuple(fc.constant('mqttDown' as const)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('outOfStep' as const)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('block' as const), fc.boolean()) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

function act(world: World, one: Step): void {
  switch (one[0]) {
    case 'store':
      world.store(one[1], one[2], one[3])
      break
    case 'deliver':
      world.deliver(one[1], one[2])
      break
    case 'acknowledge':
      world.acknowledge(one[1], one[2])
      break
    case 'mqttUp':
      world.mqttUp(one[1], one[2])
      break
    case 'block':
      world.block(one[1])
      break
    default:
      world[one[0]]()
  }
}

function check(world: World): void {
  expect(world.violations).toEqual([])
  expect(world.plans.imbalance).toBe(0)
  const { inFlight, limit } = world.flow.report()
  expect(inFlight).toBeLessThanOrEqual(limit)
  for (const one of world.plans.books.values()) {
    expect(one.inFlight).toBeGreaterThanOrEqual(0)
    expect(one.inFlight).toBeLessThanOrEqual(inFlight)
  }
}

function finish(world: World): void {
  world.block(false)
  world.mqttUp(2, true)
  for (let i = 0; i < 400 && !world.done; i++) {
    world.deliver(3, [])
    world.acknowledge([5, 3, 0], false)
    check(world)
  }
  expect(world.done).toBe(true)
}

describe('the flow from NATS to MQTT', () => {
  test('settles in order and never too early, loses and reorders nothing, and balances its books, whatever happens', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const world = new World()
        world.outlet.maximumPacketSize = 50
        for (const one of steps) {
          act(world, one)
          check(world)
        }
        finish(world)
        for (const [address, payloads] of world.firstWrites) {
          const order = payloads.map((payload) => Number(payload.slice(1)))
          expect([address, ...order]).toEqual([address, ...order.sort((a, b) => a - b)])
          expect(address).not.toMatch(/refused|foreign/)
        }
        for (const books of world.plans.books.values()) expect(books.inFlight).toBe(0)
      }),
      { numRuns: 1_500 },
    )
  })

  test('sends nothing above the QoS the broker takes, and then waits for no acknowledgement', () => {
    const world = new World()
    world.outlet.maximumQos = 0
    world.mqttUp(10, false)
    world.store('stream0', 1, false)
    world.deliver(1, [])
    expect(world.firstWrites.get('stream0')).toEqual(['s1'])
    expect(world.done).toBe(true)
  })

  test('goes on by itself when what the broker lets through at a time is of QoS 0', () => {
    const world = new World()
    world.mqttUp(1, false)
    world.store('stream0', 1, false)
    for (let i = 0; i < 5; i++) world.store('stream0', 0, false)
    world.store('stream0', 1, false)
    world.deliver(7, [])
    expect(world.firstWrites.get('stream0')).toEqual(['s1'])
    world.acknowledge([0], false)
    expect(world.firstWrites.get('stream0')).toHaveLength(7)
    world.acknowledge([0], false)
    expect(world.done).toBe(true)
  })
})
