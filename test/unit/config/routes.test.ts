import fc from 'fast-check'
import { expect, it } from 'vitest'
import { routeList } from '../../../src/config/routes.ts'

const format = routeList()

function mistakes(value: unknown): string[] {
  const parsed = format.parse(value)
  return parsed.ok ? [] : parsed.mistakes.map(({ at, text }) => `${at} ${text}`)
}

function routes(value: unknown) {
  const parsed = format.parse(value)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.mistakes))
  return parsed.value
}

it('a route with a pattern alone has every other key by default', () => {
  expect(routes([{ pattern: 'a/#' }])).toEqual([
    {
      name: 'a/#',
      pattern: 'a/#',
      direction: 'both',
      qos: 1,
      mqttPrefix: '',
      natsPrefix: '',
      exclude: [],
      delivery: 'auto',
      class: 'event',
      retain: 'keep',
      unmappable: 'escape',
      oversize: 'deadLetter',
      startAt: 'new',
      onConflict: 'mqtt',
    },
  ])
})

it('patterns that repeat are numbered for names, round names that are taken', () => {
  const list = ['#', '#', 'a', '#'].map((pattern) => ({ pattern }))
  const named = [...list, { pattern: 'b', name: '##2' }]
  expect(routes(named).map(({ name }) => name)).toEqual(['#', '##3', 'a', '##4', '##2'])
})

it('names are unique and not the one of the books entry without route', () => {
  const list = ['x', 'x', '(none)'].map((name) => ({ pattern: '#', name }))
  expect(mistakes(list)).toEqual([
    "[1].name 'x' is the name of routes[0] already: write another name",
    "[2].name '(none)' stands for what no route takes: write another name",
  ])
})

it.each([
  ['new', 'new'],
  ['all', 'all'],
  [17, { sequence: 17 }],
  ['17', { sequence: 17 }],
  ['2026-01-31', { time: '2026-01-31T00:00:00.000Z' }],
  ['2026-01-31T12:00:00+01:00', { time: '2026-01-31T11:00:00.000Z' }],
])('startAt %j is read', (written, startAt) => {
  expect(routes([{ pattern: '#', startAt: written }])[0]?.startAt).toEqual(startAt)
})

it.each([0, -1, 1.5, 'now', '2026-13-01', '2026-01-31T12:00:00', null, {}])(
  'startAt %j is refused',
  (startAt) => expect(mistakes([{ pattern: '#', startAt }])).toHaveLength(1),
)

it('ttl and drainRate are kept, ttl with class command only', () => {
  const [route] = routes([{ pattern: '#', class: 'command', ttl: '30s', drainRate: '5' }])
  expect(route).toMatchObject({ ttl: 30_000, drainRate: 5 })
  expect(mistakes([{ pattern: '#', ttl: '30s' }])[0]).toContain('belongs to class command')
})

it.each([
  ['none', "'none' is no list"],
  [[], 'is empty, so that nothing would cross'],
  [[7], '[0] 7 is no route'],
  [[null], '[0] nothing is no route'],
  [[[]], '[0] a list is no route'],
  [[{}], '[0].pattern is missing'],
  [[{ pattern: '' }], '[0].pattern is empty'],
  [[{ pattern: null }], '[0].pattern is empty: write an MQTT filter'],
  [[{ pattern: '#', topic: 'x' }], '[0].topic is not a setting; did you mean pattern?'],
  [[{ pattern: '#', qso: 1 }], '[0].qso is not a setting; did you mean qos?'],
  [[{ pattern: '#', zzzzzz: 1 }], '[0].zzzzzz is not a setting; a route has name, pattern'],
  [[{ pattern: '#', qos: 3 }], '[0].qos 3 is not known: write 0, 1 or 2'],
  [[{ pattern: '#', mqttPrefix: 'a/+/' }], "[0].mqttPrefix 'a/+/' holds '+'"],
  [[{ pattern: '#', natsPrefix: 'a.>' }], "[0].natsPrefix 'a.>' holds '>'"],
  [[{ pattern: '#', natsPrefix: 'a\0' }], "[0].natsPrefix 'a·' is no topic"],
  [[{ pattern: '#', mqttPrefix: 7 }], '[0].mqttPrefix 7 is not text'],
  [[{ pattern: '#', mqttPrefix: 'x'.repeat(65_536) }], '[0].mqttPrefix is too long'],
  [[{ pattern: '#', exclude: 7 }], '[0].exclude 7 is no list'],
  [[{ pattern: '#', exclude: ['a', ''] }], '[0].exclude[1] is empty'],
])('%j is refused', (value, start) => {
  expect(mistakes(value)[0]).toContain(start)
})

it('a single exclude may stand without its list', () => {
  expect(routes([{ pattern: '#', exclude: 'a,b' }])[0]?.exclude).toEqual(['a,b'])
})

it('any list of routes either has mistakes or unique names', () => {
  const route = fc.record(
    {
      pattern: fc.constantFrom('#', 'a', '', 7),
      name: fc.constantFrom('#', '##2', 'a', 'b#2', null),
      qos: fc.constantFrom(0, 1, 9),
    },
    { requiredKeys: ['pattern'] },
  )
  fc.assert(
    fc.property(fc.array(route, { maxLength: 6 }), (list) => {
      const parsed = format.parse(list)
      if (!parsed.ok) {
        expect(parsed.mistakes).not.toEqual([])
        return
      }
      const names = parsed.value.map(({ name }) => name)
      expect(new Set(names).size).toBe(list.length)
    }),
  )
})
