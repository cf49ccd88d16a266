import { describe, expect, test } from 'vitest'
import { MqttToNats } from '../../../src/delivery/mqtt-to-nats.ts'
import { Mode } from '../../../src/delivery/plans.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { viewOf } from '../../support/views.ts'
import { World } from './mqtt-to-nats.model.ts'
import { World as ToMqtt } from './nats-to-mqtt.model.ts'
import { dropLog, Plans, ToyOutlet } from './stand-ins.ts'

function toNats(): World {
  const world = new World()
  world.natsUp()
  world.streamsKnown()
  return world
}

describe('messages to NATS', () => {
  test('that the server of the next connection does not take are let go, and the rest goes on', () => {
    const world = toNats()
    for (const topic of ['durable0', 'confirmed0', 'durable1']) world.publish(topic, 1)
    world.read(3)
    world.natsDown()
    world.outlet.maxPayload = 1
    world.natsUp()
    world.streamsKnown()
    world.serve(['take', 'take', 'take', 'take'])
    expect(world.stored).toEqual([])
    expect(world.waiting).toBe(0)
    expect(world.plans.dropped('durable', 'tooLarge')).toBe(2)
    expect(world.plans.dropped('confirmed', 'tooLarge')).toBe(1)
    expect(world.plans.imbalance).toBe(0)
  })

  test('are read on when the connection whose socket was full is gone', () => {
    const world = toNats()
    world.block(true)
    world.publish('confirmed0', 1)
    world.read(1)
    expect(world.flow.report().heldBack).toBe(true)
    world.outlet.blocked = false
    world.natsDown()
    expect(world.flow.report().heldBack).toBe(false)
    world.publish('confirmed0', 0)
    world.read(1)
    expect(world.plans.dropped('confirmed', 'disconnected')).toBe(1)
  })

  test('that were refused wait for the socket before they are written again', () => {
    const world = toNats()
    world.publish('durable0', 1)
    world.read(1)
    world.serve(['refuse'])
    world.outlet.blocked = true
    const { writes } = world.outlet
    world.clock.pass(30_000)
    expect(world.outlet.writes).toBe(writes)
    world.block(false)
    world.clock.pass(200)
    world.serve(['take'])
    expect([world.stored, world.waiting]).toEqual([['m0'], 0])
  })

  test('of live delivery and QoS 1 that NATS denies are counted as dropped', () => {
    const world = toNats()
    world.publish('live0', 1)
    world.read(1)
    world.flow.onDenied('live0')
    const books = world.plans.get('live')
    expect([books.forwardedTotal, world.plans.dropped('live', 'denied'), books.imbalance]).toEqual([
      0, 1, 0,
    ])
    world.flow.onDenied('live0')
    expect(world.plans.dropped('live', 'denied')).toBe(1)
  })

  test('are told from those of a session before that had the same packet ids', () => {
    const clock = new ManualClock()
    const outlet = new ToyOutlet()
    const plans = new Plans('mqttToNats', { t: { mode: Mode.durable } })
    const inlet = {
      generation: 1,
      sessionBegan: 1,
      acknowledge: () => undefined,
      flushAcknowledgements: () => undefined,
      release: () => undefined,
    }
    const flow = new MqttToNats({
      inlet,
      outlet,
      clock,
      drops: dropLog(clock),
      planFor: plans.planFor,
      onNoStream: () => 'retry',
      windowLimit: 8,
      windowBytes: 1_000_000,
    })
    outlet.up = true
    flow.onNatsUp()
    const receive = (dup: boolean) => {
      flow.onMessage(viewOf({ name: 't0', qos: 1, packetId: 5, payload: 'p', dup }))
      flow.onBatchEnd()
    }
    receive(false)
    // the broker forgot the session; what it sent on connection 2 never reached us, and comes again on 3
    Object.assign(inlet, { generation: 3, sessionBegan: 2 })
    receive(true)
    expect([plans.dropped('t', 'duplicate'), plans.get('t').inFlight]).toEqual([0, 2])
    Object.assign(inlet, { generation: 4 })
    receive(true)
    expect([plans.dropped('t', 'duplicate'), plans.get('t').inFlight]).toEqual([1, 2])
  })
})

test('live messages to MQTT are let go while the bridge stops, so that what is in flight comes to its end', () => {
  const world = new ToMqtt()
  world.flow.drain()
  world.flow.onLive(viewOf({ name: 'forced', payload: 'f' }), 1)
  expect(world.plans.dropped('forced', 'shutdown')).toBe(1)
  expect([world.flow.drained, world.plans.imbalance]).toEqual([true, 0])
})
