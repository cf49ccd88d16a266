import { DURATION_BOUNDS, type RouteBooks } from '../core/books.ts'
import type { Direction } from '../core/config.ts'
import type { LinkReport } from '../core/ports.ts'
import type { BridgeReport, FlowReport, RouteReport } from '../core/status.ts'
import type { LogLevel } from './logger.ts'

/** Routes that have a label value of their own; later ones share `other`, so that series stay bounded. */
const MAX_ROUTE_LABELS = 100
const OTHER = 'other'

/** What metrics show that the bridge's report does not hold. */
export interface MetricExtras {
  /** Milliseconds since the epoch, now. */
  readonly now: () => number
  /** Source revision the program was built from; empty when unknown. */
  readonly revision: string
  /** Log lines written so far, by level. */
  readonly logCounts: Readonly<Record<LogLevel, number>>
  /** What is in force of the configuration; times in milliseconds since the epoch. */
  readonly config: () => {
    readonly hash: string
    readonly lastReloadOk: boolean
    readonly lastReloadOkAt: number
  }
}

/** Everything one scrape is made of: a report taken once, and its routes grouped by label. */
export interface Scene {
  readonly report: BridgeReport
  readonly extras: MetricExtras
  readonly groups: readonly RouteGroup[]
}

/** The books behind one pair of labels; more than one only for `other`. */
export interface RouteGroup {
  readonly direction: string
  readonly route: string
  readonly books: RouteBooks[]
}

/** One series: `name` only where it is not the metric's own, as in a histogram. */
export interface Sample {
  readonly metricName?: string
  readonly labels: Record<string, string>
  readonly value: number
}

export type Reader = (scene: Scene) => Sample[]

/** Label values are snake_case: `mqttToNats` → `mqtt_to_nats`, `CONNECT_REFUSED` → `connect_refused`. */
export function snake(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase()
}

/** Puts routes that share labels together and those beyond the hundredth name under `other`. */
export function groupRoutes(routes: readonly RouteReport[]): RouteGroup[] {
  const names = new Set<string>()
  const groups = new Map<string, RouteGroup>()
  for (const { name, direction, books } of routes) {
    if (names.size < MAX_ROUTE_LABELS) names.add(name)
    const route = names.has(name) ? name : OTHER
    const key = `${direction} ${route}`
    const group = groups.get(key)
    if (group === undefined)
      groups.set(key, { direction: directionLabel(direction), route, books: [books] })
    else group.books.push(books)
  }
  return [...groups.values()]
}

export function directionLabel(direction: Direction): string {
  return snake(direction)
}

/** The sum of one figure over a group. */
export function total(group: RouteGroup, figure: (books: RouteBooks) => number): number {
  return group.books.reduce((sum, books) => sum + figure(books), 0)
}

/** One series without labels. */
export function single(figure: (scene: Scene) => number): Reader {
  return (scene) => [{ labels: {}, value: figure(scene) }]
}

/** One series per route and direction. */
export function perRoute(figure: (books: RouteBooks) => number): Reader {
  return ({ groups }) =>
    groups.map((group) => ({
      labels: { direction: group.direction, route: group.route },
      value: total(group, figure),
    }))
}

/** One series per route, direction and QoS of the message as it came in. */
export function perQos(figures: (books: RouteBooks) => Float64Array): Reader {
  return ({ groups }) =>
    groups.flatMap((group) =>
      ['0', '1', '2'].map((qos) => ({
        labels: { direction: group.direction, route: group.route, qos },
        value: total(group, (books) => figures(books)[Number(qos)] ?? 0),
      })),
    )
}

/** One series per direction. */
export function perFlow(figure: (flow: FlowReport) => number): Reader {
  return ({ report }) =>
    report.flows.map((flow) => ({
      labels: { direction: directionLabel(flow.direction) },
      value: figure(flow),
    }))
}

/** One series per side. */
export function perLink(figure: (link: LinkReport) => number): Reader {
  return ({ report }) =>
    linksOf(report).map((link) => ({ labels: { side: link.side }, value: figure(link) }))
}

export function linksOf(report: BridgeReport): readonly LinkReport[] {
  return [report.links.mqtt, report.links.nats]
}

/** The forward duration histogram of each route, buckets cumulative as Prometheus wants them. */
export function durationSamples(name: string): Reader {
  return ({ groups }) => groups.flatMap((group) => durationsOf(name, group))
}

function durationsOf(name: string, group: RouteGroup): Sample[] {
  const labels = { direction: group.direction, route: group.route }
  const samples: Sample[] = []
  let count = 0
  for (let at = 0; at <= DURATION_BOUNDS.length; at++) {
    count += total(group, (books) => books.durations[at] ?? 0)
    const le = String(DURATION_BOUNDS[at] ?? '+Inf')
    samples.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: count })
  }
  const sum = total(group, (books) => books.durationSum)
  samples.push({ metricName: `${name}_sum`, labels, value: sum })
  samples.push({ metricName: `${name}_count`, labels, value: count })
  return samples
}
