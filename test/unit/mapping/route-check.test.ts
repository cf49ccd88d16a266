import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RouteConfig } from '../../../src/core/config.ts'
import { compileRoutes } from '../../../src/mapping/route-table.ts'
import { filters, SOME_RUNS } from './names-arbitrary.ts'
import { route } from './routes-support.ts'

/** Problems of routes as `path: text`. */
function problems(...routes: RouteConfig[]): readonly string[] {
  return compileRoutes(routes).problems.map(({ path, text }) => `${path}: ${text}`)
}

function warnings(...routes: RouteConfig[]): readonly string[] {
  return compileRoutes(routes).warnings.map(({ path, text }) => `${path}: ${text}`)
}

describe('problems of routes', () => {
  it.each<[string, Partial<RouteConfig>, string]>([
    ['pattern', { pattern: 'a/#/b' }, "routes[0].pattern: filter 'a/#/b' has levels after '#'"],
    ['empty pattern', { pattern: '' }, "routes[0].pattern: filter '' is empty"],
    [
      'exclude',
      { exclude: ['x', 'a#'] },
      "routes[0].exclude[1]: filter 'a#' has '+' or '#' inside",
    ],
    ['wildcard in a prefix', { mqttPrefix: '+/' }, "routes[0].mqttPrefix: '+/' holds '+' or '#'"],
    [
      'NATS wildcard in a prefix',
      { natsPrefix: 'a/*/' },
      "routes[0].natsPrefix: 'a/*/' has a level",
    ],
    ['control character', { natsPrefix: 'a\t/' }, 'holds U+0009'],
    ['prefix without slash', { mqttPrefix: 'a' }, "routes[0].mqttPrefix: 'a' must end with '/'"],
    [
      'NATS prefix without slash',
      { natsPrefix: 'a' },
      "routes[0].natsPrefix: 'a' must end with '/'",
    ],
    ['shared subscription', { mqttPrefix: '$share/g/' }, "'$share/g/#' is a shared subscription"],
    ['long NATS prefix', { natsPrefix: `${'a'.repeat(5000)}/` }, 'is longer than 3968 bytes'],
    ['long filter', { mqttPrefix: `${'a'.repeat(65_534)}/` }, 'is longer than 65535 bytes'],
  ])('are found: %s', (_, given, text) => {
    const found = problems(route(given))
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(text)
  })

  it('are all reported at once, and the other routes still work', () => {
    const bad = route({ pattern: '#/a', exclude: ['+a'], mqttPrefix: '#', natsPrefix: '>/' })
    const compiled = compileRoutes([bad, route({ pattern: 'ok' })])
    expect(compiled.problems.map(({ path }) => path)).toEqual([
      'routes[0].pattern',
      'routes[0].exclude[0]',
      'routes[0].mqttPrefix',
      'routes[0].natsPrefix',
    ])
    expect(compiled.problems.every(({ source }) => source === 'routes')).toBe(true)
    expect(compiled.table.routesFor('mqttToNats')).toEqual([1])
    expect(compiled.warnings).toEqual([])
  })
})

describe('warnings of routes', () => {
  it('tell a route that an earlier one hides, per direction', () => {
    expect(warnings(route({ name: 'all' }), route({ pattern: 'a/+' }))).toEqual([
      expect.stringContaining("never takes a message in direction mqttToNats: routes[0] ('all')"),
      expect.stringContaining("never takes a message in direction natsToMqtt: routes[0] ('all')"),
    ])
    const upOnly = route({ direction: 'mqttToNats' })
    expect(warnings(upOnly, route({ pattern: 'a' }))).toHaveLength(1)
  })

  it.each<[string, RouteConfig, RouteConfig]>([
    ['narrower first', route({ pattern: 'a/+' }), route()],
    ['other prefixes', route({ mqttPrefix: 'a/', natsPrefix: 'a/' }), route()],
    ['an exclude in between', route({ exclude: ['a/b'] }), route({ pattern: 'a/+' })],
    ['a $-name', route(), route({ pattern: '$x/#' })],
    [
      'a wildcard behind the prefix of the earlier, which may be $',
      route({ mqttPrefix: 'a/', natsPrefix: 'a/', pattern: '+' }),
      route({ pattern: 'a/+' }),
    ],
    [
      'the bare prefix, which only the later takes',
      route({ mqttPrefix: 'a/', natsPrefix: 'a/', pattern: 'b' }),
      route({ mqttPrefix: 'a/', natsPrefix: 'a/', pattern: 'c' }),
    ],
  ])('stay silent for %s', (_, first, second) => {
    expect(warnings(first, second)).toEqual([])
  })

  it('tell a route into a reserved space', () => {
    expect(warnings(route({ pattern: '$JS/#' }))).toEqual([
      expect.stringContaining(
        "routes[0].pattern: carries nothing: '$JS/#' lies in a space reserved",
      ),
    ])
    expect(warnings(route({ natsPrefix: '$KV/' }))).toHaveLength(1)
  })

  it('are right: a route said to be hidden never takes a topic', () => {
    const some = fc
      .record({
        pattern: filters,
        mqttPrefix: fc.constantFrom('', 'a/', 'a/b/', 'b'),
        exclude: fc.array(filters, { maxLength: 1 }),
      })
      .map((given) => route({ ...given, direction: 'mqttToNats' }))
      .filter((one) => problems(one).length === 0)
    const level = fc.constantFrom('a', 'b', '', '$x', 'a.b', 'x y', 'ba')
    const topics = fc.array(
      fc.array(level, { minLength: 1, maxLength: 5 }).map((levels) => levels.join('/')),
      { minLength: 20, maxLength: 20 },
    )
    let hidden = 0
    fc.assert(
      fc.property(some, some, topics, (first, second, names) => {
        const { table, warnings: found } = compileRoutes([first, second])
        if (!found.some(({ text }) => text.startsWith('never'))) return true
        hidden++
        return names.every((name) => table.resolve('mqttToNats', name).route !== 1)
      }),
      { numRuns: SOME_RUNS },
    )
    expect(hidden).toBeGreaterThan(SOME_RUNS / 100)
  })
})
