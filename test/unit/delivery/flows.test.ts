import { describe, expect, test } from 'vitest'
import type { BridgeConfig, RouteConfig } from '../../../src/core/config.ts'
import type { Decision } from '../../../src/core/decision.ts'
import type { BridgeError } from '../../../src/core/errors.ts'
import { Flows } from '../../../src/delivery/flows.ts'
import type { Resolved } from '../../../src/delivery/planner.ts'
import { matchSubject, wildcardCovers, wildcardsIntersect } from '../../../src/mapping/filters.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { viewOf } from '../../support/views.ts'
import { route } from '../mapping/routes-support.ts'
import { ToyOutlet, warnings } from './stand-ins.ts'

const ROUTES = [
  route({ name: 'a', pattern: 'a/#' }),
  route({ name: 'd', pattern: 'd/#', delivery: 'durable' }),
  route({ name: 'l', pattern: 'l/#', class: 'live' }),
  route({ name: 'c', pattern: 'c/#', delivery: 'confirmed' }),
]
const STREAM = { name: 'S', subjects: ['a.>'], acknowledges: true, retention: 'limits' }

function stage(routes: readonly RouteConfig[] = ROUTES) {
  const clock = new ManualClock()
  const log: unknown[] = []
  const infos: Record<string, unknown>[] = []
  const failures: BridgeError[] = []
  const { logger } = warnings()
  const mqtt = new ToyOutlet()
  const nats = new ToyOutlet()
  const resolve = (_direction: unknown, name: string): Resolved => {
    if (/^(\$JS|_INBOX)/.test(name))
      return { kind: 'refused', route: 0, reason: 'reserved', text: 'no' }
    const index = routes.findIndex((one) => name.startsWith(one.name))
    return { kind: 'route', route: index, target: name.replaceAll('/', '.') }
  }
  let resolved = 0
  const flows = new Flows({
    config: {
      mqtt: { window: 10 },
      nats: { window: 20, windowBytes: 1_000_000 },
      routes,
    } as unknown as BridgeConfig,
    clock,
    logger: {
      ...logger,
      info: (fields) => infos.push({ ...fields }),
      failure: (error) => failures.push(error),
    },
    names: {
      resolve: (...all) => {
        resolved++
        return resolve(...all)
      },
      ownerOf: () => 0,
      matches: matchSubject,
      covers: wildcardCovers,
      intersect: wildcardsIntersect,
      wildcardsOf: (index) => [`${routes[index]?.name}.>`],
      wildcards: routes.map(({ name }) => `${name}.>`),
    },
    mqtt: {
      source: {
        generation: 1,
        sessionBegan: 0,
        acknowledge: (packetId) => log.push(['ack', packetId]),
        flushAcknowledgements: () => undefined,
        release: () => log.push('release'),
      },
      sink: mqtt,
    },
    nats: {
      source: {
        settled: (...all) => log.push(['settled', ...all]),
        refill: () => undefined,
        hold: () => undefined,
        subscribe: (wildcards) => log.push(['subscribe', wildcards]),
      },
      sink: nats,
      read: (readings) => log.push(['read', readings]),
      lookAtStreams: () => log.push('look'),
    },
  })
  const take = (): unknown[] => log.splice(0)
  const publish = (name: string, qos: number) => {
    flows.toNats.onMessage(viewOf({ name, qos, packetId: 7, payload: 'p' }))
    flows.toNats.onBatchEnd()
  }
  return { clock, flows, mqtt, nats, infos, failures, take, publish, resolved: () => resolved }
}

const position = (consumerSequence: number) => ({
  consumer: 0,
  epoch: 1,
  streamSequence: consumerSequence,
  consumerSequence,
  repeated: false,
})

describe('both flows together', () => {
  test('listen to what no stream brings and read the rest from the streams', () => {
    const { flows, nats, take } = stage()
    nats.up = true
    flows.onStreams([STREAM])
    expect(take()).toEqual([
      ['subscribe', [undefined, 'd.>', 'l.>', 'c.>']],
      ['read', [{ stream: 'S', route: 0, filters: ['a.>'] }]],
      'release',
    ])
    expect(flows.withoutStream).toEqual(['d'])
    flows.onStreams([])
    expect(take()[0]).toEqual(['subscribe', ['a.>', 'd.>', 'l.>', 'c.>']])
  })

  test('say once how each route delivers, and again when that changes', () => {
    const { flows, infos } = stage()
    flows.onStreams([STREAM])
    flows.onStreams([STREAM])
    expect(infos.map((one) => [one['direction'], one['route'], one['delivery']])).toEqual([
      ['mqttToNats', 'a', 'durable'],
      ['mqttToNats', 'd', 'durable'],
      ['mqttToNats', 'l', 'live'],
      ['mqttToNats', 'c', 'confirmed'],
      ['natsToMqtt', 'a', 'durable'],
      ['natsToMqtt', 'd', 'durable'],
      ['natsToMqtt', 'l', 'live'],
      ['natsToMqtt', 'c', 'live'],
    ])
    flows.onStreams([])
    expect(infos.slice(8)).toMatchObject([
      { direction: 'mqttToNats', route: 'a', wished: 'auto', delivery: 'confirmed', streams: [] },
      { direction: 'natsToMqtt', route: 'a', wished: 'auto', delivery: 'live', streams: [] },
    ])
  })

  test('say as a failure, once, that a route insists on a stream and has none', () => {
    const { flows, failures } = stage()
    flows.onStreams([])
    flows.onStreams([])
    expect(failures.map(({ code }) => code)).toEqual(['NATS_NO_STREAM', 'NATS_NO_STREAM'])
    expect(failures[0]?.message).toContain("route 'd' mqttToNats")
  })

  test('report their windows, and each route in each direction', () => {
    const { flows } = stage()
    flows.onStreams([STREAM])
    expect(flows.flowReports().map(({ direction, limit }) => [direction, limit])).toEqual([
      ['mqttToNats', 10],
      ['natsToMqtt', 20],
    ])
    const reports = flows.routeReports()
    expect(reports.map(({ name }) => name)).toEqual([...'adlc', '(none)', ...'adlc', '(none)'])
    expect(reports[0]).toMatchObject({ window: 10, streams: ['S'] })
    expect(reports[5]).toMatchObject({ window: 20, streams: ['S'], direction: 'natsToMqtt' })
    expect(reports[4]).toMatchObject({ delivery: 'none', streams: [] })
    expect(reports[5]?.delivery).toBe('durable')
    expect(reports[8]).toMatchObject({ name: 'c', direction: 'natsToMqtt', delivery: 'live' })
    flows.onStreams([])
    const after = flows.routeReports()
    expect(after[0]?.delivery).toBe('confirmed')
    expect(after[5]?.delivery).toBe('live')
  })

  test('settle what no stream takes: as published, or as dropped where the route insists', () => {
    for (const [name, dropped] of [
      ['a/x', 0],
      ['d/x', 1],
    ] as const) {
      const { flows, nats, take, clock, publish } = stage()
      nats.up = true
      const streams = [{ ...STREAM, subjects: ['a.>', 'd.>'] }]
      flows.onStreams(streams)
      publish(name, 1)
      flows.toNats.tracked.onAnswer(0, { code: 'noResponders', text: '' })
      flows.toNats.onAnswersEnd()
      expect(take()).toContain('look')
      flows.onStreams([])
      if (dropped === 0) flows.toNats.tracked.onPong(1)
      flows.toNats.onAnswersEnd()
      expect(take()).toContainEqual(['ack', 7])
      const [books] = flows.routeReports().filter((one) => one.books.receivedTotal > 0)
      expect([books?.books.droppedTotal, books?.books.imbalance]).toEqual([dropped, 0])
      clock.pass(20_000)
      expect(flows.drained).toBe(true)
    }
  })

  test('believe a stream gone only after it has not answered for a while', () => {
    const { flows, nats, take, clock, publish } = stage()
    nats.up = true
    flows.onStreams([STREAM])
    publish('a/x', 1)
    const { cover } = flows
    cover.update([])
    for (let i = 0; i < 9; i++) {
      expect(take()).not.toContainEqual(['ack', 7])
      flows.toNats.tracked.onAnswer(0, { code: 'noResponders', text: '' })
      flows.toNats.onAnswersEnd()
      clock.pass(10_000)
    }
    expect(take()).toContainEqual(['ack', 7])
  })

  test('tell who watches of each decision, as long as anybody does', () => {
    const { flows, nats, mqtt, publish } = stage()
    nats.up = mqtt.up = true
    flows.onStreams([STREAM])
    flows.toMqtt.onMqttUp(10)
    const seen: Decision[] = []
    const every = () => {
      publish('l/x', 0)
      flows.toMqtt.onLive(viewOf({ name: 'l.x', qos: 0 }), 3)
      flows.toMqtt.onStream(viewOf({ name: 'a.x', qos: 1 }), position(1), 0)
      flows.toMqtt.onBatchEnd()
    }
    flows.tap((decision) => seen.push(decision))
    every()
    flows.tap(undefined)
    every()
    expect(seen.map(({ direction, name, outcome }) => [direction, name, outcome])).toEqual([
      ['mqttToNats', 'l/x', 'forwarded'],
      ['natsToMqtt', 'l.x', 'forwarded'],
      ['natsToMqtt', 'a.x', 'inFlight'],
    ])
  })

  test('let the traffic of NATS itself pass without a word, and plan each of its spaces once', () => {
    const { flows, resolved } = stage()
    flows.onStreams([])
    for (const name of ['_INBOX.a', '_INBOX.b', '_INBOX', '$JS.API.INFO', '$JS.ACK.x']) {
      flows.toMqtt.onLive(viewOf({ name }), 1)
    }
    expect(resolved()).toBe(2)
    expect(flows.routeReports().every(({ books }) => books.receivedTotal === 0)).toBe(true)
    // a space that is nobody's is like any other
    for (const name of ['$other.a', '$other.b', '$other.a']) {
      flows.toMqtt.onLive(viewOf({ name }), 1)
    }
    flows.toMqtt.onBatchEnd()
    expect(resolved()).toBe(4)
  })

  test('drain together', () => {
    const { flows, mqtt } = stage()
    mqtt.up = true
    expect(flows.toMqtt.room).toBe(20)
    flows.drain()
    expect([flows.toMqtt.room, flows.drained]).toEqual([0, true])
  })
})
