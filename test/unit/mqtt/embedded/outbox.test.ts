import { type IPublishPacket, type Packet, parser } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { DEFAULT_LIMITS, EmbeddedStats } from '../../../../src/mqtt/embedded/limits.ts'
import { Outbox } from '../../../../src/mqtt/embedded/outbox.ts'
import type { BrokerPacket } from '../../../../src/mqtt/embedded/store.ts'
import { handClock } from './stand-ins.ts'

function message(topic: string, qos: 0 | 1 | 2 = 1, retain = false): BrokerPacket {
  return { cmd: 'publish', topic, payload: Buffer.from(topic), qos, retain }
}

function make() {
  const clock = handClock()
  const stats = new EmbeddedStats()
  const outbox = new Outbox(DEFAULT_LIMITS, stats, clock)
  const sent: Packet[] = []
  const reading = parser()
  reading.on('packet', (packet: Packet) => sent.push(packet))
  const peer = { room: true }
  const write = (frame: Buffer) => {
    reading.parse(frame)
    return peer.room
  }
  const outcomes: string[] = []
  const offer = (packet: BrokerPacket) =>
    outbox.offer(packet, (outcome) => outcomes.push(`${packet.topic} ${outcome}`))
  const topics = () => sent.map((packet) => (packet as IPublishPacket).topic)
  return { clock, stats, outbox, sent, peer, write, outcomes, offer, topics }
}

const all = [{ topic: '#', qos: 2 }]

describe('outbox towards the bridge', () => {
  test('a message is settled by its acknowledgement, QoS 0 when it is written', () => {
    const { outbox, write, offer, outcomes, sent } = make()
    outbox.attach(write, false)
    outbox.subscribe(all, [])
    offer(message('a', 0))
    offer(message('b', 1))
    offer(message('c', 2))
    expect(outcomes).toEqual(['a taken'])
    outbox.received(2)
    outbox.acknowledged(1)
    outbox.acknowledged(77)
    expect(outcomes).toEqual(['a taken', 'c taken', 'b taken'])
    expect(sent.at(-1)).toMatchObject({ cmd: 'pubrel', messageId: 2 })
  })

  test('the QoS is the lower of message and subscription, by the best filter', () => {
    const { outbox, write, offer, sent, outcomes } = make()
    outbox.attach(write, false)
    outbox.subscribe(
      [
        { topic: 'a/#', qos: 0 },
        { topic: 'a/b', qos: 1 },
      ],
      [],
    )
    offer(message('a/b', 2))
    offer(message('a/c', 2))
    expect(sent).toMatchObject([
      { topic: 'a/b', qos: 1 },
      { topic: 'a/c', qos: 0 },
    ])
    expect(outcomes).toEqual(['a/c taken'])
  })

  test('nothing is written while there is no room, and all in order after', () => {
    const { outbox, write, offer, peer, topics } = make()
    outbox.attach(write, false)
    outbox.subscribe(all, [])
    peer.room = false
    for (const topic of ['a', 'b', 'c']) offer(message(topic))
    expect(topics()).toEqual(['a'])
    peer.room = true
    outbox.drained()
    expect(topics()).toEqual(['a', 'b', 'c'])
  })

  test('an offer is taken back only before it was written', () => {
    const { outbox, write, offer, peer, topics } = make()
    outbox.attach(write, false)
    outbox.subscribe(all, [])
    peer.room = false
    const [a, b] = [offer(message('a')), offer(message('b'))]
    expect(outbox.withdraw(a)).toBe(false)
    expect(outbox.withdraw(b)).toBe(true)
    peer.room = true
    outbox.drained()
    expect(topics()).toEqual(['a'])
  })

  test('QoS 0 that waits is dropped after the grace, and flows again when there is room', () => {
    const { outbox, write, offer, peer, outcomes, clock, stats } = make()
    outbox.attach(write, false)
    outbox.subscribe(all, [])
    peer.room = false
    offer(message('a', 0))
    offer(message('b', 0))
    offer(message('c', 1))
    expect(outcomes).toEqual(['a taken'])
    clock.advance(DEFAULT_LIMITS.liveGrace)
    offer(message('d', 0))
    expect(outcomes).toEqual(['a taken', 'b dropped', 'd dropped'])
    expect(stats.liveDropped).toBe(2)
    peer.room = true
    outbox.drained()
    offer(message('e', 0))
    expect(outcomes.at(-1)).toBe('e taken')
  })

  test('a resumed session gets PUBREL for what it received and the rest again with DUP', () => {
    const { outbox, write, offer, sent } = make()
    outbox.attach(write, false)
    outbox.subscribe(all, [])
    offer(message('a', 2))
    offer(message('b', 1))
    outbox.received(1)
    outbox.detach()
    sent.length = 0
    outbox.attach(write, true)
    expect(sent).toMatchObject([
      { cmd: 'pubrel', messageId: 1 },
      { cmd: 'publish', topic: 'b', messageId: 2, dup: true },
    ])
  })

  test('a new session gets it first and as new, and what it does not want is let go', () => {
    const { outbox, write, offer, sent, outcomes } = make()
    outbox.attach(write, false)
    outbox.subscribe(all, [])
    offer(message('a'))
    outbox.detach()
    offer(message('b'))
    offer(message('c'))
    sent.length = 0
    outbox.attach(write, false)
    expect(sent).toEqual([])
    outbox.subscribe(
      [
        { topic: 'a', qos: 1 },
        { topic: 'c', qos: 1 },
      ],
      [],
    )
    expect(sent).toMatchObject([
      { topic: 'a', dup: false },
      { topic: 'c', dup: false },
    ])
    expect(outcomes).toEqual(['b unwanted'])
  })

  test('an unsubscribed filter lets go what waits for it', () => {
    const { outbox, write, offer, outcomes } = make()
    outbox.attach(write, false)
    outbox.subscribe(all, [])
    outbox.detach()
    offer(message('a'))
    outbox.unsubscribe(['#'])
    expect(outcomes).toEqual(['a unwanted'])
    expect(outbox.subscriptions).toBe(0)
  })

  test('retained messages come first, but never an old value after a newer one', () => {
    const { outbox, write, offer, sent } = make()
    outbox.attach(write, false)
    outbox.subscribe([{ topic: 'live', qos: 1 }], [])
    offer(message('live', 1, true))
    const stored = [message('live', 1, true), message('x', 1, true), message('y', 1, true)]
    outbox.subscribe(
      [
        { topic: 'x', qos: 1 },
        { topic: 'live', qos: 1 },
      ],
      stored,
    )
    expect(sent).toMatchObject([{ topic: 'live' }, { topic: 'x', retain: true }])
    expect(sent).toHaveLength(2)
  })

  test('with all packet ids in use the next message waits for one', () => {
    const { outbox, write, offer, sent } = make()
    outbox.attach(write, false)
    outbox.subscribe(all, [])
    for (let i = 0; i < 65_536; i++) offer(message('t'))
    expect(sent).toHaveLength(65_535)
    outbox.acknowledged(700)
    expect(sent.at(-1)).toMatchObject({ messageId: 700 })
    expect(sent).toHaveLength(65_536)
  })

  test('closed, it settles nothing any more', () => {
    const { outbox, write, offer, outcomes } = make()
    outbox.attach(write, false)
    outbox.subscribe(all, [])
    offer(message('a'))
    outbox.close()
    outbox.acknowledged(1)
    expect(outcomes).toEqual([])
  })
})
