import { describe, expect, test } from 'vitest'
import type { RouteConfig } from '../../../src/core/config.ts'
import { NO_ROUTE, Planner, type Resolved } from '../../../src/delivery/planner.ts'
import { Mode } from '../../../src/delivery/plans.ts'
import { type CoveringStream, StreamCover } from '../../../src/delivery/stream-cover.ts'
import { matchSubject, wildcardCovers, wildcardsIntersect } from '../../../src/mapping/filters.ts'
import { route } from '../mapping/routes-support.ts'

function stream(given: Partial<CoveringStream> = {}): CoveringStream {
  return { name: 'S', subjects: ['a.>'], acknowledges: true, retention: 'limits', ...given }
}

function cover(routes: readonly RouteConfig[], wildcards: readonly (readonly string[])[]) {
  return new StreamCover({
    routes,
    matches: matchSubject,
    covers: wildcardCovers,
    intersect: wildcardsIntersect,
    wildcardsOf: (index) => wildcards[index] ?? [],
  })
}

describe('the cover of streams', () => {
  test('says which stream answers for a subject', () => {
    const streams = cover([route()], [['>']])
    expect(streams.streamOf('a.b')).toBeUndefined()
    streams.update([stream({ name: 'mute', acknowledges: false }), stream(), stream({ name: 'T' })])
    expect(streams.streamOf('a.b')).toBe('S')
    expect(streams.streamOf('b')).toBeUndefined()
  })

  test('reads of each stream what a route can match, and nothing of a stream meant for somebody else', () => {
    const routes = [
      route({ name: 'auto' }),
      route({ name: 'durable', delivery: 'durable' }),
      route({ name: 'live', delivery: 'live' }),
      route({ name: 'class', class: 'live' }),
      route({ name: 'confirmed', delivery: 'confirmed' }),
      route({ name: 'up', direction: 'mqttToNats' }),
    ]
    const streams = cover(routes, [['a.b.>', 'a.c', 'a.b.>'], ['x'], ['>'], ['>'], ['>'], ['>']])
    streams.update([
      stream({ subjects: ['a.*.d', 'a.c'] }),
      stream({ name: 'queue', retention: 'workqueue' }),
      stream({ name: 'mute', acknowledges: false }),
    ])
    expect(streams.readings).toEqual([{ stream: 'S', route: 0, filters: ['a.b.d', 'a.c'] }])
    expect([streams.isRead(0, 'S'), streams.isRead(1, 'S'), streams.isRead(0, 'queue')]).toEqual([
      true,
      false,
      false,
    ])
    expect(streams.streamsOf(0)).toEqual(['S', 'queue', 'mute'])
    expect(streams.streamsOf(1)).toEqual([])
  })
})

describe('a wildcard', () => {
  const reader = route({ name: 'reader' })

  test('is covered when the streams bring all of it, of which those that rename bring nothing', () => {
    const streams = cover([reader], [['a.b.>', 'a.c']])
    streams.update([stream({ subjects: ['a.*.d', 'a.c'] })])
    expect([streams.isCovered('a.c'), streams.isCovered('a.>')]).toEqual([true, false])
    streams.update([stream({ renames: true })])
    expect([streams.isCovered('a.c'), streams.readings]).toEqual([false, []])
    expect(streams.streamOf('a.c')).toBe('S')
  })

  test('is not covered where another route takes some of it live', () => {
    const other = { name: 'other', delivery: 'live' } as const
    for (const [over, covered] of [
      [{}, false],
      [{ direction: 'mqttToNats' }, true],
    ] as const) {
      const streams = cover([route({ ...other, ...over }), reader], [['a.live'], ['a.>']])
      streams.update([stream()])
      expect(streams.isCovered('a.>')).toBe(covered)
    }
    const apart = cover([route(other), reader], [['b'], ['a.>']])
    apart.update([stream()])
    expect(apart.isCovered('a.>')).toBe(true)
  })
})

describe('the planner', () => {
  const routes = [
    route({ name: 'auto', qos: 2, retain: 'strip' }),
    route({ name: 'durable', delivery: 'durable' }),
    route({ name: 'live', delivery: 'live', qos: 0 }),
    route({ name: 'class', class: 'live' }),
    route({ name: 'confirmed', delivery: 'confirmed' }),
    route({ name: 'up', direction: 'mqttToNats' }),
  ]

  function planner(streamed: boolean, read: boolean) {
    return new Planner({
      routes,
      resolve: (_direction, name): Resolved => {
        const [kind = '', rest = ''] = name.split('/')
        if (kind === 'bad') {
          return { kind: 'refused', route: Number(rest), reason: 'unmappable', text: 'no' }
        }
        const index = routes.findIndex((one) => one.name === kind)
        return { kind: 'route', route: index, target: `to.${rest}` }
      },
      ownerOf: () => 3,
      streamOf: () => (streamed ? 'S' : undefined),
      reads: (_route, name) => read && name === 'S',
    })
  }

  const prepare = (address: string): string => `<${address}>`
  const modes = (kind: string, streamed: boolean, read = true) => {
    const made = planner(streamed, read)
    const of = ({ refusal, mode }: { refusal: unknown; mode: Mode }) => refusal ?? mode
    return [of(made.toNats(`${kind}/x`, prepare)), of(made.toMqtt(`${kind}/x`, prepare))]
  }

  test('decides the delivery by the route, and where it leaves that open by the streams', () => {
    expect(modes('auto', true)).toEqual([Mode.durable, Mode.durable])
    expect(modes('auto', false)).toEqual([Mode.confirmed, Mode.live])
    expect(modes('auto', true, false)).toEqual([Mode.durable, Mode.live])
    expect(modes('durable', true)).toEqual([Mode.durable, Mode.durable])
    expect(modes('durable', false)).toEqual(['noStream', 'noStream'])
    expect(modes('durable', true, false)).toEqual([Mode.durable, 'noStream'])
    expect(modes('live', true)).toEqual([Mode.live, Mode.live])
    expect(modes('class', true)).toEqual([Mode.live, Mode.live])
    expect(modes('confirmed', true)).toEqual([Mode.confirmed, Mode.live])
  })

  test('prepares the target once, with what the route says of QoS and retain', () => {
    expect(planner(true, true).toNats('auto/x', prepare)).toMatchObject({
      target: '<to.x>',
      address: 'to.x',
      route: 0,
      qos: 1,
      retain: 'strip',
      owner: 3,
      refusal: undefined,
    })
    expect(planner(true, true).toMqtt('live/x', prepare).qos).toBe(0)
  })

  test('keeps books per route and direction, and one for what no route takes', () => {
    const made = planner(true, true)
    expect(made.books.map(({ route: name, direction }) => `${direction} ${name}`)).toEqual([
      ...[...routes.map(({ name }) => name), NO_ROUTE].map((name) => `mqttToNats ${name}`),
      ...[...routes.filter(({ direction }) => direction === 'both').map(({ name }) => name)].map(
        (name) => `natsToMqtt ${name}`,
      ),
      `natsToMqtt ${NO_ROUTE}`,
    ])
    const before = made.books.length
    expect(made.toNats('auto/x', prepare).books).toBe(made.toNats('auto/y', prepare).books)
    expect(made.toMqtt('auto/x', prepare).books).not.toBe(made.toNats('auto/x', prepare).books)
    expect(made.toNats('none/x', prepare)).toMatchObject({
      refusal: 'noRoute',
      route: -1,
      books: { route: NO_ROUTE },
    })
    expect(made.books).toHaveLength(before)
    // a route that does not go this way has books there only once something is resolved to it
    expect(made.toMqtt('up/x', prepare).books.direction).toBe('natsToMqtt')
    expect(made.books).toHaveLength(before + 1)
  })

  test('says why a name is refused, shortened, in the books of its route', () => {
    const made = planner(true, true)
    expect(made.toNats('bad/0', prepare)).toMatchObject({
      refusal: 'unmappable',
      text: "'bad/0': no",
      target: undefined,
      books: { route: 'auto' },
    })
    expect(made.toNats('bad/-1', prepare).books.route).toBe(NO_ROUTE)
    expect(made.toNats(`none/${'x'.repeat(500)}`, prepare).text.length).toBeLessThan(130)
  })
})
