import type { RoutePlan } from './cli/check.ts'
import type { ExplainReport, NotCarried } from './cli/explain.ts'
import { ROUTE_SETTINGS } from './config/route-settings.ts'
import type { BridgeConfig, Direction, RouteConfig } from './core/config.ts'
import { explain, type Refused, type WayBack } from './mapping/explain.ts'
import { matchSubject, plainFilter } from './mapping/filters.ts'
import { compileRoutes } from './mapping/route-table.ts'

/** A stream, as far as the preview cares. */
export interface StreamSubjects {
  readonly name: string
  readonly subjects: readonly string[]
}

/** What each route will do, told without starting anything. */
export function planRoutes({ routes }: BridgeConfig): RoutePlan[] {
  const { table } = compileRoutes(routes)
  return routes.map((route, index) => ({
    name: route.name,
    pattern: route.pattern,
    direction: route.direction,
    filter: plainFilter(route.mqttPrefix + route.pattern),
    wildcards: table.wildcardsOf(index),
    qos: route.qos,
    class: route.class,
    retain: route.retain,
    delivery: route.delivery,
    ways: waysOf(route),
    exclude: route.exclude,
    notes: withoutEffect(route),
  }))
}

/** What a route says that this version does not act on, in words. */
export function withoutEffect(route: RouteConfig): string[] {
  const notes: string[] = []
  if (route.qos === 2)
    notes.push('qos 2 is served as 1: a message may come twice, never not at all')
  if (route.class === 'state' || route.class === 'command') {
    notes.push(`class ${route.class} has no effect: messages are kept in order like class event`)
  }
  if (route.ttl !== undefined) notes.push('ttl has no effect: messages do not expire')
  if (route.oversize === 'objectStore') {
    notes.push('oversize objectStore has no effect: what is too large is dropped and counted')
  }
  if (route.drainRate !== undefined)
    notes.push('drainRate has no effect: a backlog is sent at once')
  if (route.onConflict !== ROUTE_SETTINGS.onConflict.preset) {
    notes.push(`onConflict ${route.onConflict} has no effect: retained values are not compared`)
  }
  return notes
}

/**
 * Where a name goes, and how.
 * @param streams of the server, when it was asked
 */
export function explainName(
  { routes }: BridgeConfig,
  direction: Direction,
  name: string,
  streams?: readonly StreamSubjects[],
): ExplainReport {
  const { table } = compileRoutes(routes)
  const { outcome } = explain(table, routes, direction, name)
  if (outcome.kind === 'refused') return { direction, name, refused: notCarried(outcome) }
  const route = routes[outcome.index] as RouteConfig
  const subject = direction === 'mqttToNats' ? outcome.target : name
  const covering = streams
    ?.filter(({ subjects }) => subjects.some((wildcard) => matchSubject(wildcard, subject)))
    .map((stream) => stream.name)
  const delivery = deliveryText(route, direction, covering)
  return {
    direction,
    name,
    carried: {
      route: outcome.route,
      routeIndex: outcome.index,
      matched: outcome.x,
      target: outcome.target,
      escaped: outcome.escaped,
      qos: Math.min(route.qos, 1),
      retain: route.retain,
      class: route.class,
      delivery,
      settled: settledText(delivery, direction),
      ...(covering === undefined ? {} : { streams: covering }),
      back: backOf(outcome.back, name),
    },
  }
}

/** Whether a name without `--from` is read as a topic or as a subject. */
export function guessDirection(name: string): Direction {
  return !name.includes('/') && name.includes('.') ? 'natsToMqtt' : 'mqttToNats'
}

function notCarried({ route, reason, text, remedy }: Refused): NotCarried {
  return { route, reason, text, remedy }
}

function backOf(back: WayBack, name: string): NonNullable<ExplainReport['carried']>['back'] {
  if (back.kind === 'refused') return notCarried(back)
  return { route: back.route, target: back.kind === 'same' ? name : back.target }
}

/** What a flow does where no stream stores the subject. */
const UNSTORED = { mqttToNats: 'confirmed', natsToMqtt: 'live' } as const

/** @param covering streams that store the subject; undefined when nobody asked */
function deliveryText(
  route: RouteConfig,
  direction: Direction,
  covering: readonly string[] | undefined,
): string {
  // the broker sends what is subscribed to at QoS 0 at QoS 0
  const isAtMostOnce = route.qos === 0 && direction === 'mqttToNats'
  const mode = isAtMostOnce ? 'live' : wishOf(route)
  if (mode === 'live') return 'live'
  if (mode === 'confirmed') return UNSTORED[direction]
  const [stream] = covering ?? []
  if (stream !== undefined) return `durable through stream ${stream}`
  if (mode === 'durable') {
    return covering === undefined
      ? 'durable'
      : 'durable, but no stream stores the subject: dropped as noStream'
  }
  return covering === undefined
    ? `durable where a stream stores the subject, else ${UNSTORED[direction]}`
    : `${UNSTORED[direction]}, no stream stores the subject`
}

/** When a message of QoS 1 counts as delivered, in words. */
function settledText(delivery: string, direction: Direction): string {
  const far =
    direction === 'mqttToNats' ? 'the server has taken it' : 'it was written to the broker'
  if (delivery.startsWith('live')) return 'at once: what cannot be sent now is dropped and counted'
  if (delivery.startsWith('confirmed')) return `when ${far}`
  const stored =
    direction === 'mqttToNats'
      ? 'when the stream has it'
      : 'when the broker has it, and then to the stream'
  return delivery.includes('else') ? `${stored}; without a stream when ${far}` : stored
}

function wishOf(route: RouteConfig): RouteConfig['delivery'] {
  return route.class === 'live' ? 'live' : route.delivery
}

/** How each direction of a route delivers. */
function waysOf(route: RouteConfig): string[] {
  const directions = (['mqttToNats', 'natsToMqtt'] as const).filter(
    (direction) => route.direction === 'both' || route.direction === direction,
  )
  return directions.map((direction) => `${direction} ${deliveryText(route, direction, undefined)}`)
}
