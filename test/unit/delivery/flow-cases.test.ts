import { describe, expect, test } from 'vitest'
import { viewOf } from '../../support/views.ts'
import { World as ToNats, type Turn } from './mqtt-to-nats.model.ts'
import { World as ToMqtt } from './nats-to-mqtt.model.ts'

function toNats(): ToNats {
  const world = new ToNats()
  world.natsUp()
  world.streamsKnown()
  return world
}

const takes = (count: number): Turn[] => Array.from({ length: count }, () => 'take')

describe('messages to NATS', () => {
  test('are not taken before it is known which streams there are', () => {
    const world = new ToNats()
    world.publish('durable0', 1)
    world.read(5)
    expect(world.flow.accepting).toBe(false)
    expect(world.plans.get('durable').receivedTotal).toBe(0)
    world.natsUp()
    world.streamsKnown()
    expect(world.outlet.writes).toBe(1)
    world.serve(takes(1))
    expect(world.stored).toEqual(['m0'])
  })

  test('wait for what is older when a connection comes back before its streams are known', () => {
    const world = toNats()
    world.publish('confirmed0', 1)
    world.read(1)
    world.natsDown()
    world.natsUp()
    world.publish('confirmed0', 1)
    world.read(1)
    world.streamsKnown()
    world.serve(takes(9))
    expect(world.stored).toEqual(['m0', 'm1'])
    expect(world.waiting).toBe(0)
  })

  test('of QoS 0 are dropped while NATS is away, and stop at nothing', () => {
    const world = toNats()
    world.natsDown()
    for (const topic of ['durable0', 'live0', 'confirmed0']) world.publish(topic, 0)
    world.publish('live0', 1)
    world.read(9)
    expect(world.plans.dropped('durable', 'disconnected')).toBe(1)
    expect(world.plans.dropped('live', 'disconnected')).toBe(2)
    expect([world.waiting, world.plans.imbalance]).toEqual([0, 0])
  })

  test('too large for the server or the stream are dropped and acknowledged', () => {
    const world = toNats()
    world.outlet.maxPayload = 1
    world.publish('durable0', 1)
    world.publish('durable0', 0)
    world.read(9)
    expect(world.plans.dropped('durable', 'tooLarge')).toBe(2)
    world.outlet.maxPayload = 1_000
    world.publish('durable0', 1)
    world.read(9)
    world.flow.tracked.onAnswer(1, { code: 10_054, text: 'message size exceeds maximum allowed' })
    world.flow.onAnswersEnd()
    expect(world.plans.dropped('durable', 'tooLarge')).toBe(3)
    expect([world.waiting, world.plans.imbalance]).toEqual([0, 0])
  })

  test('of which only the head came are dropped, acknowledged and never published', () => {
    const world = toNats()
    const writes = world.outlet.writes
    const head = viewOf({ name: 'durable0', qos: 1, packetId: 9 })
    expect(world.flow.onOversize(head, 500_000)).toBe(true)
    expect(world.flow.onOversize(viewOf({ name: 'durable0' }), 500_000)).toBe(true)
    const books = world.plans.get('durable')
    expect([books.receivedTotal, books.receivedBytes]).toEqual([2, 1_000_000])
    expect(world.plans.dropped('durable', 'tooLarge')).toBe(2)
    expect([world.flow.report().inFlight, world.outlet.writes - writes]).toEqual([1, 0])
    world.flow.drain()
    expect(world.flow.onOversize(head, 1)).toBe(true)
    expect(books.receivedTotal).toBe(2)
  })

  test('stop the reading at a full window or socket, and the time it lasts is kept by its cause', () => {
    const world = toNats()
    for (let i = 0; i < 10; i++) world.publish('confirmed0', 1)
    world.read(20)
    expect(world.flow.report()).toMatchObject({ inFlight: 8, limit: 8, heldBack: true })
    expect(world.flow.accepting).toBe(false)
    world.clock.time += 2_000
    expect(world.flow.report().heldSeconds).toEqual({ window: 2 })
    expect(world.flow.report().oldestSeconds).toBe(2)
    world.serve(takes(99))
    expect(world.flow.report().heldBack).toBe(false)
    world.block(true)
    world.publish('live0', 0)
    world.read(1)
    world.clock.time += 1_000
    world.flow.onDrain()
    expect(world.flow.report().heldSeconds).toEqual({ window: 2, socket: 1 })
    world.block(false)
    expect(world.flow.report().heldBack).toBe(false)
    world.natsDown()
    for (let i = 0; i < 20; i++) world.publish('confirmed0', 1)
    world.read(20)
    world.clock.time += 1_000
    expect(world.flow.report().heldSeconds).toMatchObject({ away: 1 })
  })

  test('are not taken beyond the window however often the broker reconnects', () => {
    const world = toNats()
    world.natsDown()
    for (let i = 0; i < 30; i++) world.publish('confirmed0', 1)
    for (let i = 0; i < 50; i++) {
      world.read(30)
      world.mqttReconnect()
    }
    expect(world.flow.report().inFlight).toBe(8)
  })

  test('are not settled by a late second answer meant for the message before in the same slot', () => {
    const world = toNats()
    world.publish('durable0', 1)
    world.read(1)
    world.serve(takes(1))
    const { tracked } = world.flow
    for (let i = 1; i < tracked.window.capacity; i++) {
      world.publish('durable0', 1)
      world.read(1)
      world.serve(takes(1))
    }
    world.publish('durable0', 1)
    world.read(1)
    expect(tracked.window.head & tracked.window.mask).toBe(0)
    tracked.onAnswer(0, undefined)
    tracked.onAnswer(-1, undefined)
    world.flow.onAnswersEnd()
    expect([world.waiting, world.violations]).toEqual([1, []])
    world.serve(takes(1))
    expect(world.waiting).toBe(0)
  })

  test('that the server has worked off, without an answer for ten seconds, are sent again', () => {
    const world = toNats()
    world.publish('durable0', 1)
    world.read(1)
    world.clock.time += 10_001
    world.flow.tick()
    world.flow.tracked.onPong(1)
    world.flow.tick()
    world.clock.pass(1_000)
    expect(world.plans.get('durable').retried).toBe(1)
    world.serve(takes(9))
    expect(world.stored).toEqual(['m0', 'm0'])
    expect(world.waiting).toBe(0)
    world.flow.tick()
  })

  test('are not written again while a slow connection may still carry them', () => {
    for (const topic of ['durable0', 'confirmed0']) {
      const world = toNats()
      world.publish(topic, 1)
      world.read(1)
      const { writes } = world.outlet
      for (let i = 0; i < 60; i++) {
        world.clock.pass(1_000)
        world.flow.tick()
      }
      expect(world.outlet.writes).toBe(writes)
      world.serve(takes(9))
      expect([world.stored, world.waiting]).toEqual([['m0'], 0])
    }
  })

  test('that no stream answers for are settled once, also when nothing else comes in', () => {
    for (const [verdict, forwarded] of [
      ['settled', 1],
      ['noStream', 0],
    ] as const) {
      const world = toNats()
      world.publish('durable0', 1)
      world.read(1)
      world.verdict = verdict
      world.clock.time += 10_001
      world.flow.tick()
      world.flow.tracked.onPong(1)
      world.flow.tick()
      const books = world.plans.get('durable')
      expect([world.waiting, books.imbalance, books.inFlight]).toEqual([0, 0, 0])
      expect(books.forwardedTotal).toBe(forwarded)
    }
  })

  test('do not overtake one that was refused and waits to be sent again', () => {
    const world = toNats()
    world.publish('durable0', 1)
    world.read(1)
    world.serve(['refuse'])
    world.publish('durable0', 1)
    world.read(1)
    world.serve(takes(9))
    expect(world.stored).toEqual([])
    world.clock.pass(200)
    world.serve(takes(9))
    expect(world.stored).toEqual(['m0', 'm1'])
  })

  test('are written once when nothing goes wrong, however batches and answers fall together', () => {
    const world = toNats()
    for (let i = 0; i < 60; i++) {
      world.publish(i % 3 === 0 ? 'durable0' : 'confirmed0', 1)
      world.read(1 + (i % 2))
      if (i % 4 === 3) world.serve(takes(1 + (i % 5)))
    }
    while (world.waiting > 0 && world.stored.length < 100) {
      world.read(9)
      world.serve(takes(3))
    }
    expect(world.stored).toHaveLength(60)
    expect(new Set(world.stored).size).toBe(60)
    expect(world.plans.get('confirmed').retried).toBe(0)
  })

  test('are not written while NATS is away', () => {
    const world = toNats()
    world.publish('confirmed0', 1)
    world.read(1)
    world.natsDown()
    const { writes } = world.outlet
    world.flow.onNatsUp()
    world.clock.pass(20_000)
    world.flow.tick()
    expect(world.outlet.writes).toBe(writes)
  })

  test('sent again by a peer that never lost them are taken again', () => {
    const world = toNats()
    const view = viewOf({ name: 'confirmed0', qos: 1, packetId: 3, payload: 'a', dup: true })
    world.flow.onMessage(view)
    world.flow.onMessage(view)
    world.flow.onBatchEnd()
    expect(world.plans.get('confirmed').inFlight).toBe(2)
    expect(world.plans.dropped('confirmed', 'duplicate')).toBe(0)
  })

  test('that no stream takes any more are settled another way when the streams are known anew', () => {
    for (const [verdict, dropped] of [
      ['settled', 0],
      ['noStream', 1],
    ] as const) {
      const world = toNats()
      world.publish('durable0', 1)
      world.publish('confirmed0', 1)
      world.read(1)
      world.read(1)
      world.serve(['refuse', 'take', 'take'])
      world.verdict = verdict
      world.streamsKnown()
      world.clock.pass(10_000)
      world.serve(takes(9))
      expect(world.waiting).toBe(0)
      expect(world.plans.dropped('durable', 'noStream')).toBe(dropped)
      expect(world.plans.imbalance).toBe(0)
    }
  })

  test('denied by NATS count as dropped, also those of QoS 0 that stood as forwarded', () => {
    const world = toNats()
    world.publish('denied0', 0)
    world.publish('live0', 0)
    world.publish('denied0', 1)
    world.publish('deniedDurable0', 1)
    world.read(9)
    world.serve(takes(9))
    expect(world.plans.dropped('denied', 'denied')).toBe(2)
    expect(world.plans.dropped('deniedDurable', 'denied')).toBe(1)
    expect(world.plans.get('live').forwardedTotal).toBe(1)
    world.flow.onDenied('nobody')
    expect([world.waiting, world.plans.imbalance]).toEqual([0, 0])
  })

  test('are left to the broker once the flow drains, those of QoS 0 excepted', () => {
    const world = toNats()
    world.publish('confirmed0', 1)
    world.read(1)
    expect(world.flow.drained).toBe(false)
    world.flow.drain()
    world.publish('confirmed0', 1)
    world.publish('live0', 0)
    world.read(9)
    world.serve(takes(9))
    expect([world.flow.drained, world.stored.includes('m1')]).toEqual([true, false])
    expect(world.plans.get('live').forwardedTotal).toBe(1)
  })

  test('take and lose their retained flag as the route says', () => {
    const world = toNats()
    for (const [retain, from, to] of [
      ['force', false, true],
      ['strip', true, false],
    ] as const) {
      const view = viewOf({ name: 'live0', retain: from })
      const plan = { ...world.plans.planFor('live0'), retain }
      const flow = new ToNats({ planFor: () => plan }).flow
      flow.onMessage(view)
      expect(view.retain).toBe(to)
    }
  })

  test('are planned once per topic, until what topics mean has changed', () => {
    const world = toNats()
    for (let i = 0; i < 3; i++) world.publish('live0', 0)
    world.read(3)
    expect(world.plans.made).toBe(1)
    world.flow.forgetPlans()
    world.publish('live0', 0)
    world.read(1)
    expect(world.plans.made).toBe(2)
  })
})

describe('messages to MQTT', () => {
  const up = (allowed = 100): ToMqtt => {
    const world = new ToMqtt()
    world.mqttUp(allowed, false)
    return world
  }

  test('that are live drop while MQTT is away, or when it takes less than comes in', () => {
    const world = new ToMqtt()
    world.deliver(0, [0, 1])
    expect(world.plans.dropped('live', 'disconnected')).toBe(2)
    world.mqttUp(1, false)
    world.block(true)
    world.deliver(0, [0])
    world.block(false)
    world.deliver(
      0,
      Array.from({ length: 10 }, () => 1),
    )
    expect(world.plans.dropped('live', 'queueFull')).toBe(3)
    expect(world.flow.report().heldBack).toBe(true)
  })

  test('hold the reading from NATS for a full socket, but never longer than two seconds', () => {
    const world = up()
    world.block(true)
    world.deliver(0, [])
    world.deliver(0, [])
    expect(world.held).toEqual([true])
    expect(world.flow.report().heldBack).toBe(true)
    world.clock.pass(2_000)
    expect(world.held).toEqual([true, false])
    expect(world.flow.report().heldSeconds).toEqual({ socket: 2 })
    world.deliver(0, [])
    world.block(false)
    expect(world.held).toEqual([true, false, true, false])
    world.block(true)
    world.deliver(0, [])
    world.mqttDown()
    expect(world.held.at(-1)).toBe(false)
    expect(world.clock.waiting).toBe(0)
  })

  test('are counted by what became of them', () => {
    const world = up()
    world.store('refused0', 1, false)
    world.store('stream0', 1, true)
    world.store('foreign0', 1, false)
    world.store('stream0', 1, false)
    world.deliver(9, [])
    world.acknowledge([0], true)
    const books = world.plans.get('stream')
    expect([books.filtered, books.loopsSuppressed]).toEqual([1, 1])
    expect(world.plans.dropped('stream', 'denied')).toBe(1)
    expect(world.plans.dropped('refused', 'unmappable')).toBe(1)
    expect(world.plans.get('foreign').receivedTotal).toBe(0)
    expect(world.done).toBe(true)
  })

  test('come live once: neither for another owner, nor where a stream brings them', () => {
    const world = up()
    world.flow.onLive(viewOf({ name: 'stream0', qos: 1 }), 1)
    expect(world.plans.get('stream').receivedTotal).toBe(0)
    const copies = [1, 2, 3].map((subscription) => {
      const view = viewOf({ name: 'owned', retain: true, payload: 'o' })
      world.flow.onLive(view, subscription)
      return view.retain
    })
    const forced = viewOf({ name: 'forced', payload: 'f' })
    world.flow.onLive(forced, 1)
    expect([world.plans.get('owned').receivedTotal, copies, forced.retain]).toEqual([
      1,
      [true, false, true],
      true,
    ])
    world.flow.forgetPlans()
    world.flow.onBatchEnd()
    expect([...world.firstWrites.keys()]).toEqual(['owned', 'forced'])
  })

  test('are fetched as far as there is room, and not while draining or without a broker', () => {
    const world = new ToMqtt()
    expect(world.flow.room).toBe(0)
    world.mqttUp(1, false)
    expect(world.flow.room).toBe(8)
    world.store('stream0', 1, false)
    world.deliver(1, [])
    expect([world.flow.room, world.flow.drained]).toEqual([7, false])
    world.flow.drain()
    expect(world.flow.room).toBe(0)
    world.acknowledge([0], false)
    expect(world.flow.drained).toBe(true)
  })

  test('are not settled by an acknowledgement of what was not sent yet', () => {
    const world = up(1)
    world.store('stream0', 1, false)
    world.store('stream0', 1, false)
    world.deliver(2, [])
    world.flow.tracked.onAcknowledged(1, undefined)
    world.acknowledge([0], false)
    expect(world.flow.drained).toBe(false)
    expect(world.firstUnacknowledged).toBe('s2')
    world.acknowledge([0], false)
    expect(world.done).toBe(true)
  })

  test('that make the broker hang up at once are found one by one, and let go in the end', () => {
    const world = up()
    for (let i = 0; i < 4; i++) world.store('stream0', 1, false)
    world.deliver(4, [])
    let connections = 0
    while (!world.done && connections < 40) {
      // the broker takes everything but the third
      world.hangUp()
      connections++
      world.mqttUp(100, false)
      const poison = () => world.firstUnacknowledged === 's3'
      while (!poison() && world.firstUnacknowledged !== undefined) world.acknowledge([0], false)
    }
    expect(world.plans.dropped('stream', 'rejected')).toBe(1)
    expect([...world.acknowledged].sort()).toEqual(['s1', 's2', 's4'])
    expect(connections).toBeLessThan(10)
  })
})
