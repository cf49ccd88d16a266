import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Direction, RouteConfig } from '../../../src/core/config.ts'
import { topicToSubject } from '../../../src/mapping/codec.ts'
import { matchSubject, overlaps } from '../../../src/mapping/filters.ts'
import { checkPublishTopic } from '../../../src/mapping/names.ts'
import { compileRoutes, type RouteTable } from '../../../src/mapping/route-table.ts'
import { fill, filling, filters, SOME_RUNS } from './names-arbitrary.ts'
import { route } from './routes-support.ts'

function table(...routes: RouteConfig[]): RouteTable {
  const compiled = compileRoutes(routes)
  expect(compiled.problems).toEqual([])
  return compiled.table
}

/** `0 target` of the route that takes a name, or `-1 reason`. */
function where(routes: RouteTable, direction: Direction, name: string): string {
  const found = routes.resolve(direction, name)
  return `${found.route} ${found.kind === 'route' ? found.target : found.reason}`
}

function addresses(routes: RouteTable, direction: Direction): readonly string[] {
  return routes.subscriptions(direction).map(({ address }) => address)
}

const RUNBOOK = route({ pattern: '#', mqttPrefix: 'mqtt/', exclude: ['$SYS/#'] })

describe('a route from MQTT to NATS', () => {
  it.each([
    ['mqtt/sensors/temp', '0 sensors.temp'],
    ['mqtt//x', '0 /.x'],
    ['mqtt/x/', '0 x./'],
    ['mqtt/v1.2/温', '0 v1//2.温'],
    ['mqtt/a b', '0 a/20b'],
    ['mqtt/', '0 unmappable'],
    ['mqtt', '-1 noRoute'],
    ['other/x', '-1 noRoute'],
    ['mqttx/y', '-1 noRoute'],
    ['mqtt/$foo/x', '-1 noRoute'],
    ['mqtt/$SYS/x', '-1 noRoute'],
    ['mqtt/_INBOX/x', '0 reserved'],
    ['mqtt/a\ud800', '0 unmappable'],
    ['mqtt/a/+', '0 unmappable'],
    [`mqtt/${'a'.repeat(5000)}`, '0 unmappable'],
  ])('sends %.30s to %s', (topic, target) => {
    expect(where(table(RUNBOOK), 'mqttToNats', topic)).toBe(target)
  })

  it('puts its prefix in front and converts the whole name, not the pieces', () => {
    const site = table(route({ mqttPrefix: 'p/', natsPrefix: 'site/a/' }))
    expect(where(site, 'mqttToNats', 'p/')).toBe('0 site.a./')
    expect(where(site, 'mqttToNats', 'p//x')).toBe('0 site.a./.x')
    expect(where(site, 'natsToMqtt', 'site.a./')).toBe('0 p/')
    expect(where(site, 'natsToMqtt', 'site.a')).toBe('-1 noRoute')
  })

  it('refuses reserved subjects whatever pattern and prefix brought them there', () => {
    expect(where(table(route({ pattern: '$JS/#' })), 'mqttToNats', '$JS/API')).toBe('0 reserved')
    expect(where(table(route({ natsPrefix: '$KV/' })), 'mqttToNats', 'b/k')).toBe('0 reserved')
    expect(where(table(route({ natsPrefix: '$', pattern: 'SYS/#' })), 'mqttToNats', 'SYS/x')).toBe(
      '0 reserved',
    )
  })

  it('says that a name needed the escape, and refuses it where the route does not escape', () => {
    const found = table(route()).resolve('mqttToNats', 'a b')
    expect(found).toEqual({ kind: 'route', route: 0, target: 'a/20b', escaped: true })
    const plain = table(route()).resolve('mqttToNats', 'a/b')
    expect(plain).toEqual({ kind: 'route', route: 0, target: 'a.b', escaped: false })
    const strict = table(route({ unmappable: 'deadLetter' }))
    expect(where(strict, 'mqttToNats', 'a b')).toBe('0 unmappable')
    expect(where(strict, 'natsToMqtt', 'a/20b')).toBe('0 unmappable')
    expect(where(strict, 'mqttToNats', 'a/b')).toBe('0 a.b')
  })

  it('takes names its prefix runs into without a slash', () => {
    const joined = table(route({ mqttPrefix: 'a', pattern: 'b/#' }))
    expect(addresses(joined, 'mqttToNats')).toEqual(['ab/#'])
    expect(where(joined, 'mqttToNats', 'ab/c')).toBe('0 b.c')
    expect(where(joined, 'natsToMqtt', 'b')).toBe('0 ab')
  })
})

describe('a route from NATS to MQTT', () => {
  it.each([
    ['sensors.temp', '0 mqtt/sensors/temp'],
    ['/.x', '0 mqtt//x'],
    ['a/20b', '0 mqtt/a b'],
    ['foo/bar', '0 unmappable'],
    ['/', '0 unmappable'],
    ['a+b', '0 unmappable'],
    ['a.#', '0 unmappable'],
    ['a\u0007', '0 unmappable'],
    ['a/09b', '0 unmappable'],
    ['a\ufffd', '0 unmappable'],
    ['_INBOX.x.y', '-1 reserved'],
    ['$JS.API.INFO', '-1 reserved'],
    ['$SYS.x', '-1 reserved'],
    ['$MQTTNATS.DEADLETTER.x', '-1 reserved'],
    ['$G.x', '-1 noRoute'],
    ['$G.x/y', '-1 noRoute'],
  ])('sends %s to %s', (subject, target) => {
    expect(where(table(RUNBOOK), 'natsToMqtt', subject)).toBe(target)
  })

  it('takes $-subjects a pattern names, but not those behind a leading wildcard of x', () => {
    const named = table(route({ pattern: '$foo/#' }), route({ natsPrefix: 'p/' }))
    expect(where(named, 'natsToMqtt', '$foo.x')).toBe('0 $foo/x')
    expect(where(named, 'mqttToNats', '$foo/x')).toBe('0 $foo.x')
    expect(where(named, 'natsToMqtt', '$foo.x/y')).toBe('0 unmappable')
    expect(where(named, 'natsToMqtt', 'p.$x')).toBe('-1 noRoute')
    expect(where(named, 'natsToMqtt', 'p.$x/y')).toBe('-1 noRoute')
    expect(where(named, 'natsToMqtt', 'p.x')).toBe('1 x')
  })

  it('charges a subject without topic to the first route that brings it and does not exclude it', () => {
    const routes = table(route({ pattern: 'a/#', exclude: ['a/b/#'] }), route({ pattern: 'a/+/+' }))
    expect(where(routes, 'natsToMqtt', 'a.x/y')).toBe('0 unmappable')
    expect(where(routes, 'natsToMqtt', 'a.b.x/y')).toBe('1 unmappable')
    expect(where(routes, 'natsToMqtt', 'c.x/y')).toBe('-1 noRoute')
  })

  it('refuses a topic longer than MQTT can say', () => {
    const long = table(route({ mqttPrefix: `${'a'.repeat(65_500)}/` }))
    expect(where(long, 'natsToMqtt', 'b')).toMatch(/^0 a+\/b$/)
    expect(where(long, 'natsToMqtt', 'b'.repeat(40))).toBe('0 unmappable')
  })
})

describe('several routes', () => {
  it('are asked in their order, each in its own direction, and the first that takes the name decides', () => {
    const routes = table(
      route({ pattern: 'a/b', natsPrefix: 'one/', direction: 'mqttToNats' }),
      route({ pattern: 'a/+', natsPrefix: 'two/' }),
      route({ pattern: '#', natsPrefix: 'three/', direction: 'natsToMqtt' }),
    )
    expect(where(routes, 'mqttToNats', 'a/b')).toBe('0 one.a.b')
    expect(where(routes, 'mqttToNats', 'a/c')).toBe('1 two.a.c')
    expect(where(routes, 'mqttToNats', 'x')).toBe('-1 noRoute')
    expect(where(routes, 'natsToMqtt', 'one.a.b')).toBe('-1 noRoute')
    expect(where(routes, 'natsToMqtt', 'three.x')).toBe('2 x')
    expect(routes.routesFor('mqttToNats')).toEqual([0, 1])
    expect(routes.routesFor('natsToMqtt')).toEqual([1, 2])
  })

  it('are passed on a message that an earlier one excludes, relative to its prefix', () => {
    const routes = table(
      route({ mqttPrefix: 'm/', exclude: ['secret/#'] }),
      route({ mqttPrefix: 'm/secret/', natsPrefix: 'vault/' }),
    )
    expect(where(routes, 'mqttToNats', 'm/secret/x')).toBe('1 vault.x')
    expect(where(routes, 'mqttToNats', 'm/secret')).toBe('-1 noRoute')
    expect(where(routes, 'mqttToNats', 'm/x')).toBe('0 x')
  })

  it('are not tried after the one that takes the name cannot map it', () => {
    const routes = table(route({ unmappable: 'deadLetter' }), route({ natsPrefix: 'x/' }))
    expect(where(routes, 'mqttToNats', 'a b')).toBe('0 unmappable')
  })
})

describe('what to subscribe to', () => {
  it('is the prefixed pattern of the runbook route', () => {
    const routes = table(RUNBOOK)
    expect(routes.subscriptions('mqttToNats')).toEqual([{ address: 'mqtt/#', qos: 1 }])
    expect(routes.subscriptions('natsToMqtt')).toEqual([{ address: '>', qos: 1 }])
  })

  it('says wildcards the way each side knows them', () => {
    const routes = table(route({ pattern: 'a/*' }), route({ pattern: 'b/>' }))
    expect(addresses(routes, 'mqttToNats')).toEqual(['a/+', 'b/+/#'])
    expect(addresses(routes, 'natsToMqtt')).toEqual(['a.*', 'b.>'])
    expect(where(routes, 'mqttToNats', 'a/x')).toBe('0 a.x')
    expect(where(routes, 'mqttToNats', 'b')).toBe('-1 noRoute')
  })

  it('leaves out the parent level where the prefix keeps the route from taking it', () => {
    expect(table(route({ natsPrefix: 'site/' })).wildcardsOf(0)).toEqual(['site.>'])
    expect(table(route({ natsPrefix: 'site/', pattern: 'a/#' })).wildcardsOf(0)).toEqual([
      'site.a.>',
      'site.a',
    ])
    expect(table(route()).wildcardsOf(1)).toEqual([])
  })

  it('drops what another route brings, and asks for the highest QoS of those behind it', () => {
    const routes = table(
      route({ pattern: 'a/b', qos: 2 }),
      route({ pattern: 'a/#', qos: 0 }),
      route({ pattern: 'c', qos: 0 }),
    )
    expect(routes.subscriptions('mqttToNats')).toEqual([
      { address: 'a/#', qos: 2 },
      { address: 'c', qos: 0 },
    ])
    expect(routes.subscriptions('natsToMqtt')).toEqual([
      { address: 'a.>', qos: 2 },
      { address: 'a', qos: 0 },
      { address: 'c', qos: 0 },
    ])
    expect(routes.overlapping('mqttToNats')).toBe(false)
    expect(routes.overlapping('natsToMqtt')).toBe(false)
  })

  it('names one owner for a message that several subscriptions bring', () => {
    const routes = table(route({ pattern: 'a/+', qos: 0 }), route({ pattern: '+/b', qos: 1 }))
    expect(routes.overlapping('mqttToNats')).toBe(true)
    expect(routes.overlapping('natsToMqtt')).toBe(true)
    expect(routes.ownerOf('mqttToNats', 'a/b')).toBe(0)
    expect(routes.ownerOf('mqttToNats', 'c/b')).toBe(1)
    expect(routes.ownerOf('mqttToNats', 'c')).toBe(-1)
    expect(routes.ownerOf('natsToMqtt', 'a.b')).toBe(0)
    expect(routes.ownerOf('natsToMqtt', 'c.b')).toBe(1)
  })

  it('asks an overlapping subscription for the QoS of every route it may serve', () => {
    const routes = table(
      route({ pattern: '+/b', qos: 0, exclude: ['a/b'] }),
      route({ pattern: 'a/+', qos: 1 }),
    )
    expect(routes.ownerOf('mqttToNats', 'a/b')).toBe(0)
    expect(where(routes, 'mqttToNats', 'a/b')).toBe('1 a.b')
    expect(routes.subscriptions('mqttToNats')[0]).toEqual({ address: '+/b', qos: 1 })
  })

  it('can be widened until nothing overlaps', () => {
    const routes = table(route({ pattern: 'a/+', qos: 0 }), route({ pattern: '+/b', qos: 2 }))
    expect(routes.disjointSubscriptions()).toEqual([{ address: '+/+', qos: 2 }])
  })
})

const PREFIXES = ['', '', 'a/', 'a/b/', 'x y/', '$p/', 'n', '/', 'v1.0/']
const routeArbitrary = fc
  .record({
    pattern: filters,
    mqttPrefix: fc.constantFrom(...PREFIXES),
    natsPrefix: fc.constantFrom(...PREFIXES),
    exclude: fc.array(filters, { maxLength: 1 }),
    direction: fc.constantFrom<RouteConfig['direction']>(
      'both',
      'both',
      'mqttToNats',
      'natsToMqtt',
    ),
    qos: fc.constantFrom<RouteConfig['qos']>(0, 1, 2),
  })
  .map(route)
  .filter((one) => compileRoutes([one]).problems.length === 0)
const routesArbitrary = fc.array(routeArbitrary, { minLength: 1, maxLength: 4 })
const pieces = fc.constantFrom('a', 'b', '', '$x', 'a.b', 'x y', '.', 'é', 'n', '$p', 'v1.0', '\t')
const anyTopic = fc.array(pieces, { minLength: 1, maxLength: 5 }).map((levels) => levels.join('/'))

/** Routes, and a topic that was often made for one of them. */
const routesAndTopic = fc
  .tuple(routesArbitrary, filling, fc.nat(5), anyTopic)
  .map(([routes, [spare, extra], at, other]) => {
    const aim = routes[at]
    const topic = aim === undefined ? other : aim.mqttPrefix + fill(aim.pattern, spare, extra)
    return { routes, topic }
  })

/** A route both ways, and a name for it in topic form without prefix. */
const routeAndX = fc.tuple(routeArbitrary, filling).map(([one, [spare, extra]]) => ({
  one: { ...one, direction: 'both' as const },
  x: fill(one.pattern, spare, extra),
}))

describe('any routes and any topic', () => {
  it('return to the same topic whenever the same route takes the way back', () => {
    let returned = 0
    fc.assert(
      fc.property(routesAndTopic, ({ routes, topic }) => {
        const names = table(...routes)
        const there = names.resolve('mqttToNats', topic)
        if (there.kind !== 'route') return true
        const back = names.resolve('natsToMqtt', there.target)
        if (back.kind === 'route' && back.route === there.route) {
          returned++
          return back.target === topic
        }
        // A way back that is missing has a reason: one direction only, another route first, or a topic
        // that no broker would take.
        const isOneWay = routes[there.route]?.direction === 'mqttToNats'
        return isOneWay || back.route < there.route || checkPublishTopic(topic) !== undefined
      }),
      { numRuns: SOME_RUNS },
    )
    expect(returned).toBeGreaterThan(SOME_RUNS / 10)
  })

  it('return to the same topic through a single route in both directions', () => {
    let returned = 0
    fc.assert(
      fc.property(routeAndX, ({ one, x }) => {
        const names = table(one)
        const topic = one.mqttPrefix + x
        const there = names.resolve('mqttToNats', topic)
        if (there.kind !== 'route' || checkPublishTopic(topic) !== undefined) return true
        returned++
        const back = names.resolve('natsToMqtt', there.target)
        return back.kind === 'route' && back.target === topic && back.escaped === there.escaped
      }),
      { numRuns: SOME_RUNS },
    )
    expect(returned).toBeGreaterThan(SOME_RUNS / 10)
  })

  it('return to the same subject through a single route in both directions', () => {
    let returned = 0
    // A slash put anywhere makes most subjects lossy, as those written by other NATS clients may be.
    const slash = fc.option(fc.nat(12), { freq: 3 })
    fc.assert(
      fc.property(routeAndX, slash, ({ one, x }, at) => {
        const names = table(one)
        const made = topicToSubject(one.natsPrefix + x)
        const name = at === null ? made : `${made.slice(0, at)}/${made.slice(at)}`
        const there = names.resolve('natsToMqtt', name)
        if (there.kind !== 'route') return true
        returned++
        const back = names.resolve('mqttToNats', there.target)
        return back.kind === 'route' && back.target === name
      }),
      { numRuns: SOME_RUNS },
    )
    expect(returned).toBeGreaterThan(SOME_RUNS / 10)
  })

  it('take nothing they do not subscribe to, at no lower QoS than the route allows', () => {
    let taken = 0
    fc.assert(
      fc.property(routesAndTopic, ({ routes, topic }) => {
        const names = table(...routes)
        const there = names.resolve('mqttToNats', topic)
        if (there.kind !== 'route') return true
        taken++
        const wide = names.disjointSubscriptions()
        const owner = names.subscriptions('mqttToNats')[names.ownerOf('mqttToNats', topic)]
        const qos = routes[there.route]?.qos ?? 0
        const subject = there.target
        const isWatched = names
          .wildcardsOf(there.route)
          .some((wildcard) => matchSubject(wildcard, subject))
        const isDisjoint = wide.every((a, i) =>
          wide.every((b, k) => i === k || !overlaps(a.address, b.address)),
        )
        return owner !== undefined && owner.qos >= qos && isWatched && isDisjoint
      }),
      { numRuns: SOME_RUNS },
    )
    expect(taken).toBeGreaterThan(SOME_RUNS / 10)
  })
})
