import { describe, expect, it } from 'vitest'
import { RUNBOOK_ROUTE, startStage, texts } from '../support/bridge-stage.ts'
import { eventually } from '../support/eventually.ts'
import {
  consumerInfo,
  consumerNames,
  createStream,
  jetStreamApi,
  publishStored,
  readStream,
  streamInfo,
} from '../support/jetstream.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { freePort } from '../support/ports.ts'
import { connectNats } from '../support/raw-nats.ts'
import { tempFolder } from '../support/temp.ts'

const count = (n: number) => Array.from({ length: n }, (_, at) => at)
const numbers = (messages: readonly { data?: Buffer; payload?: Buffer }[]) =>
  messages.map((m) => Number((m.data ?? m.payload)?.toString()))

describe('delivery auto', () => {
  it('turns durable when a stream appears, and confirmed again when it is deleted, without a restart', async () => {
    await using stage = await startStage({ nats: { jetstream: true } })
    const { mqtt, nats, bridge } = stage
    const delivery = () => bridge.report().routes[0]?.delivery ?? ''
    expect(delivery()).toBe('confirmed')
    await mqtt.publish('mqtt/plant/a', 'before', { qos: 1 })
    await eventually('the first', () => bridge.books('mqttToNats').forwardedTotal === 1)

    await createStream(nats, 'PLANT', ['plant.>'])
    await eventually('durable', () => delivery() === 'durable')
    await bridge.untilReady()
    await mqtt.subscribe('mqtt/plant/#', { nl: true })
    await mqtt.publish('mqtt/plant/a', 'stored', { qos: 1 })
    await eventually('the second', () => bridge.books('mqttToNats').forwardedTotal === 2)
    expect(texts(await readStream(nats, 'PLANT'))).toEqual(['plant.a stored'])
    await publishStored(nats, 'plant.b', 'read from the stream')
    expect(texts(await mqtt.take(1))).toEqual(['mqtt/plant/b read from the stream'])
    expect(await consumerNames(nats, 'PLANT')).toHaveLength(1)

    await jetStreamApi(nats, 'STREAM.DELETE.PLANT')
    await eventually('confirmed', () => delivery() === 'confirmed')
    await bridge.untilReady()
    const onNats = nats.subscribe('plant.>')
    await nats.flush()
    await mqtt.publish('mqtt/plant/a', 'after', { qos: 1 })
    expect(texts(await onNats.take(1))).toEqual(['plant.a after'])
    nats.publish('plant.b', 'live again')
    expect(texts(await mqtt.take(2)).at(-1)).toBe('mqtt/plant/b live again')
    await eventually('all to be settled', () => bridge.report().flows.every((f) => !f.inFlight))
    expect(bridge.unbalanced()).toEqual([])
    expect(bridge.report().links.nats.connects).toBe(1)
  })

  it('keeps what waits for a stream while servers without JetStream answer for a moment', async () => {
    await using folder = await tempFolder()
    const port = await freePort()
    const place = { port, storeDir: folder.path }
    await using stage = await startStage({
      nats: { ...place, jetstream: true },
      before: (nats) => createStream(nats, 'PLANT', ['plant.>']),
    })
    const { mqtt, bridge } = stage
    await stage.server.stop()
    const waiting = mqtt.publish('mqtt/plant/a', 'kept', { qos: 1 })
    await eventually('the message to be taken', () => bridge.books('mqttToNats').inFlight === 1)
    {
      await using without = await startNatsServer(place)
      await bridge.untilReason(/^nats: .*JetStream/)
      expect(bridge.books('mqttToNats').inFlight).toBe(1)
      await without.stop()
    }
    await using back = await startNatsServer({ ...place, jetstream: true })
    await bridge.untilReady()
    await waiting
    await using nats = await connectNats({ port: back.port })
    await eventually('the message to be stored', () =>
      Promise.resolve(bridge.books('mqttToNats').forwardedTotal === 1),
    )
    expect(texts(await readStream(nats, 'PLANT'))).toEqual(['plant.a kept'])
    expect(bridge.unbalanced()).toEqual([])
  })

  it('lets go of messages that waited for the answer of a stream that was deleted', async () => {
    await using stage = await startStage({
      nats: { jetstream: true },
      before: (nats) => createStream(nats, 'PLANT', ['plant.>']),
    })
    const { mqtt, nats, bridge } = stage
    const flood = mqtt.publishAll(
      count(2000).map((n) => ['mqtt/plant/a', `${n}`] as const),
      { qos: 1 },
    )
    await eventually('some to be stored', () => bridge.books('mqttToNats').forwardedTotal > 200)
    await jetStreamApi(nats, 'STREAM.DELETE.PLANT')
    await flood
    await eventually('the rest to be settled', () => {
      const books = bridge.books('mqttToNats')
      return books.forwardedTotal === 2000 && books.inFlight === 0
    })
    expect(bridge.unbalanced()).toEqual([])
  })

  it('leaves a work queue to those it is meant for', async () => {
    await using stage = await startStage({
      nats: { jetstream: true },
      before: (nats) => createStream(nats, 'WORK', ['work.>'], { retention: 'workqueue' }),
    })
    const { mqtt, nats, bridge } = stage
    await mqtt.subscribe('mqtt/#', { nl: true })
    expect(await consumerNames(nats, 'WORK')).toEqual([])
    await mqtt.publish('mqtt/work/a', 'a job', { qos: 1 })
    await eventually('the job', () => bridge.books('mqttToNats').forwardedTotal === 1)
    await publishStored(nats, 'work.b', 'another')
    expect(texts(await mqtt.take(1))).toEqual(['mqtt/work/b another'])
    expect((await streamInfo(nats, 'WORK')).state.messages).toBe(2)

    // a worker is handed a job: that is no publish
    await jetStreamApi(nats, 'CONSUMER.CREATE.WORK.worker', {
      stream_name: 'WORK',
      config: { name: 'worker', durable_name: 'worker', ack_policy: 'explicit' },
    })
    const jobs = nats.subscribe('_INBOX.worker')
    nats.publish('$JS.API.CONSUMER.MSG.NEXT.WORK.worker', '2', { reply: '_INBOX.worker' })
    expect(texts(await jobs.take(2))).toEqual(['work.a a job', 'work.b another'])
    nats.publish('marker', 'end')
    expect(texts(await mqtt.take(2))).toEqual(['mqtt/work/b another', 'mqtt/marker end'])
    await eventually('all to be settled', () => bridge.books('natsToMqtt').inFlight === 0)
    expect(bridge.unbalanced()).toEqual([])
  })
})

describe('delivery durable', () => {
  it('is not ready without a stream, and says which route lacks it', async () => {
    await using stage = await startStage({
      nats: { jetstream: true },
      before: (nats) => createStream(nats, 'PLANT', ['plant.>']),
      routes: [{ ...RUNBOOK_ROUTE, pattern: 'plant/#', delivery: 'durable', name: 'plant' }],
    })
    const { nats, bridge } = stage
    await jetStreamApi(nats, 'STREAM.DELETE.PLANT')
    const reason = await bridge.untilReason(/^nats: no stream/)
    expect(reason).toContain("'plant'")
    await createStream(nats, 'PLANT', ['plant.>'])
    await bridge.untilReady()
  })

  it('drops a single message outside its streams as noStream, and carries those around it', async () => {
    await using stage = await startStage({
      nats: { jetstream: true },
      before: (nats) => createStream(nats, 'PLANT', ['plant.a.>']),
      routes: [{ ...RUNBOOK_ROUTE, pattern: 'plant/#', delivery: 'durable' }],
    })
    const { mqtt, nats, bridge } = stage
    await mqtt.publish('mqtt/plant/a/1', 'one', { qos: 1 })
    await mqtt.publish('mqtt/plant/b/1', 'outside', { qos: 1 })
    await mqtt.publish('mqtt/plant/a/2', 'two', { qos: 1 })
    await eventually('both', () => bridge.books('mqttToNats', 'plant/#').forwardedTotal === 2)
    expect(texts(await readStream(nats, 'PLANT'))).toEqual(['plant.a.1 one', 'plant.a.2 two'])
    expect(bridge.dropped('mqttToNats')).toEqual({ noStream: 1 })
    const labels = { reason: 'no_stream', direction: 'mqtt_to_nats' }
    expect(await bridge.metric('mqttnats_messages_dropped_total', labels)).toBe(1)
    expect(bridge.unbalanced()).toEqual([])
  })
})

describe('the durable consumer', () => {
  const stored = (from: number, to: number) => count(to - from).map((n) => `${from + n}`)

  it('begins with what is new, however much the stream holds', async () => {
    await using stage = await startStage({
      nats: { jetstream: true },
      before: async (nats) => {
        await createStream(nats, 'PLANT', ['plant.>'])
        for (const text of stored(0, 20)) await publishStored(nats, 'plant.a', text)
      },
    })
    await stage.mqtt.subscribe('mqtt/#', { nl: true })
    await publishStored(stage.nats, 'plant.a', '20')
    expect(numbers(await stage.mqtt.take(1))).toEqual([20])
  })

  it('begins with all the stream holds where the route says so', async () => {
    await using stage = await startStage({
      nats: { jetstream: true },
      routes: [{ ...RUNBOOK_ROUTE, startAt: 'all' }],
      before: async (nats) => {
        await createStream(nats, 'PLANT', ['plant.>'])
        for (const text of stored(0, 20)) await publishStored(nats, `plant.${text}`, text)
      },
    })
    await eventually('all', () => stage.bridge.books('natsToMqtt').forwardedTotal === 20)
    expect(stage.bridge.books('natsToMqtt').receivedTotal).toBe(20)
    expect(stage.bridge.unbalanced()).toEqual([])
  })

  it('goes on where it was after a restart, with what was stored meanwhile, and repeats nothing', async () => {
    await using stage = await startStage({
      nats: { jetstream: true },
      before: (nats) => createStream(nats, 'PLANT', ['plant.>']),
    })
    const { mqtt, nats, bridge } = stage
    await mqtt.subscribe('mqtt/plant/a', { nl: true })
    for (const text of stored(0, 50)) await publishStored(nats, 'plant.a', text)
    await mqtt.take(50)
    await bridge.leave()
    for (const text of stored(50, 100)) await publishStored(nats, 'plant.a', text)
    const again = await stage.again()
    await publishStored(nats, 'plant.a', '100')
    expect(numbers(await mqtt.take(101))).toEqual(count(101))
    expect(again.books('natsToMqtt').receivedTotal).toBe(51)
    const [name = ''] = await consumerNames(nats, 'PLANT')
    await eventually('the stream to be told', async () => {
      return (await consumerInfo(nats, 'PLANT', name)).ack_floor.stream_seq === 101
    })
  })

  it('goes on where it was when the NATS server restarts, in order', async () => {
    await using stage = await startStage({
      nats: { jetstream: true },
      before: (nats) => createStream(nats, 'PLANT', ['plant.>']),
    })
    const { mqtt, nats, bridge, server } = stage
    await mqtt.subscribe('mqtt/plant/a', { nl: true })
    for (const text of stored(0, 50)) await publishStored(nats, 'plant.a', text)
    await mqtt.take(50)
    await server.restart()
    await eventually('the next connection', () => bridge.report().links.nats.connects === 2)
    await bridge.untilReady()
    const client = await stage.natsClient()
    for (const text of stored(50, 100)) await publishStored(client, 'plant.a', text)
    expect(numbers(await mqtt.take(100))).toEqual(count(100))
    await eventually('all to be settled', () => bridge.books('natsToMqtt').inFlight === 0)
    expect(bridge.unbalanced()).toEqual([])
  })
})
