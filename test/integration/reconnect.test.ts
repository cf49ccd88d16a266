import { describe, expect, it } from 'vitest'
import { startStage, texts } from '../support/bridge-stage.ts'
import { eventually } from '../support/eventually.ts'
import { createStream } from '../support/jetstream.ts'
import { mqttLoad, natsLoad } from '../support/load.ts'
import { numbering, Oracle } from '../support/oracle.ts'
import { type FaultProxy, startProxy } from '../support/proxy.ts'

const COUNT = 6000
const TOPICS = 3

/** Message n of a run over several topics. */
function numbered(run: string, prefix: string) {
  const numbers = numbering(run)
  return (n: number) => ({
    name: `${prefix}${n % TOPICS}`,
    payload: numbers.make(n % TOPICS, Math.floor(n / TOPICS), 40),
  })
}

/** Cuts a link at a third and at two thirds of the way. */
async function cutTwice(proxy: FaultProxy, arrived: () => number): Promise<void> {
  for (const part of [COUNT / 3, (2 * COUNT) / 3]) {
    await eventually(`${part} messages`, () => arrived() >= part, { deadline: 30_000 })
    proxy.cut()
  }
}

/** QoS 1 may repeat a message, never lose or reorder one. */
const KEPT = { lost: 0, reordered: 0, foreign: 0 }

const CASES = [
  ['NATS link, confirmed', 'nats', false],
  ['NATS link, durable', 'nats', true],
  ['MQTT link, confirmed', 'mqtt', false],
  ['MQTT link, durable', 'mqtt', true],
] as const

describe('messages that waited for NATS', () => {
  it('go out before those that come while the streams are asked for', async () => {
    const proxies: FaultProxy[] = []
    await using stage = await startStage({
      nats: { jetstream: true },
      through: async (_, natsPort) => {
        const proxy = await startProxy(natsPort)
        proxies.push(proxy)
        return { nats: proxy.port }
      },
    })
    await using proxy = proxies[0] as FaultProxy
    const { mqtt, nats, bridge } = stage
    const onNats = nats.subscribe('a')
    await nats.flush()
    await proxy.refuse(true)
    proxy.cut()
    await eventually('NATS to be away', () => bridge.report().links.nats.state !== 'connected')
    await mqtt.publish('mqtt/a', 'first', { qos: 1 })
    await eventually('the first', () => bridge.books('mqttToNats').inFlight === 1)
    await proxy.refuse(false)
    // the answer about the streams is on its way for that long
    proxy.delay(300, 'down')
    await eventually('the next connection', () => bridge.report().links.nats.connects === 2)
    await mqtt.publish('mqtt/a', 'second', { qos: 1 })
    await eventually('the second', () => bridge.books('mqttToNats').receivedTotal === 2)
    expect(texts(await onNats.take(2))).toEqual(['a first', 'a second'])
    await eventually('all to be settled', () => bridge.books('mqttToNats').inFlight === 0)
    expect(bridge.unbalanced()).toEqual([])
  })
})

describe('links that break under load', () => {
  it.each(CASES)('lose and reorder nothing on the way to NATS (%s)', async (_, side, durable) => {
    const proxies: FaultProxy[] = []
    await using stage = await startStage({
      nats: { jetstream: durable },
      before: async (nats) => {
        if (durable) await createStream(nats, 'UP', ['up.>'])
      },
      through: async (mqttPort, natsPort) => {
        const proxy = await startProxy(side === 'mqtt' ? mqttPort : natsPort)
        proxies.push(proxy)
        return { [side]: proxy.port }
      },
    })
    await using proxy = proxies[0] as FaultProxy
    const { nats, bridge } = stage
    const expected = new Array<number>(TOPICS).fill(COUNT / TOPICS)
    const oracle = new Oracle('up', expected, (topic) => `up.${topic}`)
    nats.subscribe('up.*').onMessage = ({ subject, data }) => oracle.arrive(subject, data)
    await nats.flush()
    const message = numbered('up', 'mqtt/up/')
    await using load = mqttLoad({ port: stage.broker.port }, { rate: 8000, count: COUNT, message })
    await cutTwice(proxy, () => oracle.arrived())
    await load.done
    await eventually('all to arrive', () => oracle.complete(), { deadline: 20_000 })
    await eventually('all to be settled', () => bridge.books('mqttToNats').inFlight === 0)
    expect(oracle.verdict()).toMatchObject(KEPT)
    expect(bridge.report().links[side].connects).toBe(3)
    expect(bridge.unbalanced()).toEqual([])
  })

  it.each(['nats', 'mqtt'] as const)(
    'lose and reorder nothing of a stream on the way to MQTT (%s link)',
    async (side) => {
      const proxies: FaultProxy[] = []
      await using stage = await startStage({
        nats: { jetstream: true },
        before: (nats) => createStream(nats, 'DOWN', ['down.>']),
        through: async (mqttPort, natsPort) => {
          const proxy = await startProxy(side === 'mqtt' ? mqttPort : natsPort)
          proxies.push(proxy)
          return { [side]: proxy.port }
        },
      })
      await using proxy = proxies[0] as FaultProxy
      const expected = new Array<number>(TOPICS).fill(COUNT / TOPICS)
      const oracle = new Oracle('down', expected, (topic) => `mqtt/down/${topic}`)
      const reader = await stage.mqttClient({
        onMessage: ({ topic, payload }) => oracle.arrive(topic, payload),
      })
      await reader.subscribe('mqtt/down/+', { nl: true })
      const message = numbered('down', 'down.')
      await using load = natsLoad(
        { port: stage.server.port },
        { name: 'down', rate: 8000, count: COUNT, message },
      )
      await cutTwice(proxy, () => oracle.arrived())
      await load.done
      await eventually('all to arrive', () => oracle.complete(), { deadline: 20_000 })
      const { bridge } = stage
      await eventually('all to be settled', () => bridge.books('natsToMqtt').inFlight === 0)
      expect(oracle.verdict()).toMatchObject(KEPT)
      expect(bridge.report().links[side].connects).toBe(3)
      expect(bridge.unbalanced()).toEqual([])
    },
  )
})
