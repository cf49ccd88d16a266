import { DIRECTIONS, type Direction, type RouteConfig } from '../core/config.ts'
import type { Problem } from '../core/errors.ts'
import { filterToWildcards, topicToSubject } from './codec.ts'
import { covers, overlaps, startsWithWildcard, validFilter } from './filters.ts'
import { isLonger, isReserved, MAX_SUBJECT_BYTES } from './names.ts'

const PREFIXES = ['mqttPrefix', 'natsPrefix'] as const
type PrefixKey = (typeof PREFIXES)[number]

/** True when the route carries messages in this direction. */
export function carries(route: RouteConfig, direction: Direction): boolean {
  return route.direction === 'both' || route.direction === direction
}

/** Everything that makes a route impossible, each mistake under its path `routes[i].…`. */
export function checkRoute(route: RouteConfig, index: number): readonly Problem[] {
  const problems: Problem[] = []
  const report = (key: string, text: string | undefined): void => {
    if (text === undefined) return
    problems.push({ path: `routes[${index}].${key}`, text, source: 'routes' })
  }
  report('pattern', describe(route.pattern, validFilter(route.pattern)))
  for (const [at, filter] of route.exclude.entries()) {
    report(`exclude[${at}]`, describe(filter, validFilter(filter)))
  }
  for (const key of PREFIXES) report(key, checkPrefix(route[key]))
  if (problems.length > 0) return problems
  for (const key of PREFIXES) report(key, checkJoined(route[key], route.pattern, key))
  return problems
}

function describe(filter: string, error: string | undefined): string | undefined {
  return error === undefined ? undefined : `filter '${filter}' ${error}`
}

/** A prefix is put in front of names as it stands, so nothing in it may be a wildcard. */
function checkPrefix(prefix: string): string | undefined {
  if (prefix === '') return undefined
  if (prefix.includes('+') || prefix.includes('#')) {
    return `'${prefix}' holds '+' or '#'; a prefix is plain text, wildcards belong into the pattern`
  }
  if (prefix.split('/').some((level) => level === '*' || level === '>')) {
    return `'${prefix}' has a level '*' or '>', which NATS reads as a wildcard; name the level otherwise`
  }
  return describe(prefix, validFilter(prefix))
}

/** What prefix and pattern give together is subscribed to, and must be legal as such. */
function checkJoined(prefix: string, pattern: string, key: PrefixKey): string | undefined {
  if (prefix !== '' && !prefix.endsWith('/') && startsWithWildcard(pattern)) {
    return `'${prefix}' must end with '/' before the pattern '${pattern}', whose first wildcard is a level of its own`
  }
  const filter = prefix + pattern
  const error = describe(filter, validFilter(filter))
  if (error !== undefined) return error
  if (key === 'mqttPrefix') {
    return filter.startsWith('$share/')
      ? `'${filter}' is a shared subscription; its topics arrive without '$share/…', so the route would take none`
      : undefined
  }
  const tooLong = filterToWildcards(filter).some((one) => isLonger(one, MAX_SUBJECT_BYTES))
  return tooLong
    ? `the subject of '${filter.slice(0, 40)}…' is longer than ${MAX_SUBJECT_BYTES} bytes`
    : undefined
}

/** What is legal but surely not meant: routes that an earlier one hides, and routes into reserved space. */
export function warnRoutes(
  routes: readonly RouteConfig[],
  legal: ReadonlySet<number>,
): readonly Problem[] {
  const warnings: Problem[] = []
  for (const [index, route] of routes.entries()) {
    if (!legal.has(index)) continue
    const path = `routes[${index}].pattern`
    const text = warnReserved(route)
    if (text !== undefined) warnings.push({ path, text, source: 'routes' })
    for (const direction of DIRECTIONS) {
      if (!carries(route, direction)) continue
      const first = [...routes.slice(0, index).entries()].find(
        ([at, other]) =>
          legal.has(at) && carries(other, direction) && hides(other, route, direction),
      )
      if (first === undefined) continue
      const earlier = `routes[${first[0]}] ('${first[1].name}')`
      warnings.push({
        path,
        text: `never takes a message in direction ${direction}: ${earlier} comes first and takes all of them; put the narrower route first`,
        source: 'routes',
      })
    }
  }
  return warnings
}

function warnReserved(route: RouteConfig): string | undefined {
  const full = route.natsPrefix + route.pattern
  return isReserved(topicToSubject(full))
    ? `carries nothing: '${full}' lies in a space reserved by NATS or the bridge, which is refused in both directions`
    : undefined
}

/** True when `earlier` surely takes everything that `later` could; may be false where it does too. */
function hides(earlier: RouteConfig, later: RouteConfig, direction: Direction): boolean {
  const key = direction === 'mqttToNats' ? 'mqttPrefix' : 'natsPrefix'
  const prefix = earlier[key]
  const full = later[key] + later.pattern
  if (!full.startsWith(prefix)) return false
  // What `later` takes, seen from behind the prefix of `earlier`.
  const rest = full.slice(prefix.length)
  // The `$` rule counts from each route's own x: a wildcard in mid-pattern of `later` does take `$` levels.
  const isMidPattern = prefix.length > later[key].length
  if (isMidPattern && startsWithWildcard(rest) && startsWithWildcard(earlier.pattern)) return false
  if (!covers(earlier.pattern, rest)) return false
  return earlier.exclude.every((filter) => !overlaps(filter, rest))
}
