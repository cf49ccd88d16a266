import type { RouteConfig } from '../core/config.ts'
import { coerce } from './coerce.ts'
import {
  accept,
  type Format,
  type Json,
  type Mistake,
  type Parsed,
  refuse,
  show,
} from './formats.ts'
import { joinPath } from './paths.ts'
import { ROUTE_SETTINGS } from './route-settings.ts'
import type { Setting, ValueOf } from './setting.ts'
import { unknownKey } from './unknown-keys.ts'

type RouteKey = keyof typeof ROUTE_SETTINGS
type RouteValues = { -readonly [K in RouteKey]: ValueOf<(typeof ROUTE_SETTINGS)[K]> }

const ROUTE_KEYS = Object.keys(ROUTE_SETTINGS) as RouteKey[]

/** Name of the books entry for what no route takes; no route may be called so. */
const RESERVED_NAME = '(none)'

/** What runs when no routes are given: everything both ways, under `mqtt/` on the MQTT side. */
export const DEFAULT_ROUTES: Json = [
  {
    pattern: '#',
    direction: 'both',
    qos: 1,
    mqttPrefix: 'mqtt/',
    natsPrefix: '',
    exclude: ['$SYS/#'],
    delivery: 'auto',
  },
]

/** The list of routes: its shape is checked here, whether filters are legal is checked where they are compiled. */
export function routeList(): Format<readonly RouteConfig[]> {
  const syntax = 'a list of routes, each with a pattern'
  return {
    name: 'routes',
    syntax,
    schema: { type: 'array', minItems: 1, items: { $ref: '#/$defs/route' } },
    parse: (value) => {
      if (!Array.isArray(value)) return refuse(`${show(value)} is no list: write ${syntax}`)
      return value.length === 0
        ? refuse('is empty, so that nothing would cross: write a route, or leave routes out')
        : parseRoutes(value)
    },
  }
}

function parseRoutes(items: readonly unknown[]): Parsed<readonly RouteConfig[]> {
  const mistakes: Mistake[] = []
  const routes = items.map((item, index) => {
    const route = parseRoute(item)
    if (route.ok) return route.value
    for (const { at, text } of route.mistakes) mistakes.push({ at: `[${index}]${at}`, text })
    return undefined
  })
  mistakes.push(...nameMistakes(items))
  if (mistakes.length > 0) return { ok: false, mistakes }
  return accept(named(routes.filter((route) => route !== undefined)))
}

function parseRoute(item: unknown): Parsed<RouteValues> {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) {
    return refuse(`${show(item)} is no route: write keys such as pattern: "#"`)
  }
  const written = item as Readonly<Record<string, unknown>>
  const mistakes: Mistake[] = []
  for (const key of Object.keys(written)) {
    if (Object.hasOwn(ROUTE_SETTINGS, key)) continue
    const text = unknownKey(key, { section: 'routes[]', siblings: ROUTE_KEYS, paths: [] })
    mistakes.push({ at: joinPath('', key, '.'), text })
  }
  const values: Partial<Record<RouteKey, unknown>> = {}
  for (const key of ROUTE_KEYS) {
    const parsed = parseKey(ROUTE_SETTINGS[key], Object.hasOwn(written, key), written[key])
    if (parsed.ok) values[key] = parsed.value
    else mistakes.push(...parsed.mistakes.map(({ at, text }) => ({ at: `.${key}${at}`, text })))
  }
  if (values.ttl !== undefined && values.class !== undefined && values.class !== 'command') {
    const text = `belongs to class command, and this route has class ${values.class}: drop ttl or write class: command`
    mistakes.push({ at: '.ttl', text })
  }
  return mistakes.length > 0 ? { ok: false, mistakes } : accept(values as RouteValues)
}

function parseKey(setting: Setting<unknown>, isGiven: boolean, value: unknown): Parsed<unknown> {
  const { format, preset } = setting
  if (isGiven) {
    if (value === null) return refuse(`is empty: write ${format.syntax}, or remove the line`)
    return format.parse(typeof value === 'string' ? coerce(format.name, value) : value)
  }
  if (setting.required === true) return refuse(`is missing: write ${format.syntax}`)
  return preset === null ? accept(undefined) : format.parse(preset)
}

function nameMistakes(items: readonly unknown[]): Mistake[] {
  const first = new Map<unknown, number>()
  const mistakes: Mistake[] = []
  items.forEach((item, index) => {
    const name = (item as { name?: unknown } | null)?.name
    if (typeof name !== 'string') return
    const at = `[${index}].name`
    const before = first.get(name)
    if (name === RESERVED_NAME) {
      mistakes.push({
        at,
        text: `${show(name)} stands for what no route takes: write another name`,
      })
    } else if (before !== undefined) {
      const text = `${show(name)} is the name of routes[${before}] already: write another name`
      mistakes.push({ at, text })
    } else first.set(name, index)
  })
  return mistakes
}

/** Gives each route without a name its pattern as name, numbered where that is taken. */
function named(routes: readonly RouteValues[]): RouteConfig[] {
  const taken = new Set<string>([RESERVED_NAME])
  for (const { name } of routes) if (name !== undefined) taken.add(name)
  return routes.map(({ name, ttl, drainRate, ...rest }) => ({
    ...rest,
    name: name ?? freeName(rest.pattern, taken),
    ...(ttl === undefined ? {} : { ttl }),
    ...(drainRate === undefined ? {} : { drainRate }),
  }))
}

function freeName(pattern: string, taken: Set<string>): string {
  let name = pattern
  for (let number = 2; taken.has(name); number++) name = `${pattern}#${number}`
  taken.add(name)
  return name
}
