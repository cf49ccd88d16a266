import type { Direction, RouteConfig } from '../core/config.ts'
import type { NameReason } from './names.ts'
import type { RouteTable } from './route-table.ts'

/** Why a name goes no further. */
export interface Refused {
  readonly kind: 'refused'
  /** Name of the route that would have taken it; `(none)` when there is none. */
  readonly route: string
  readonly reason: NameReason
  readonly text: string
  /** What the operator can do. */
  readonly remedy: string
}

/** What becomes of the far-side name when a message is published under it. */
export type WayBack =
  /** It arrives under the name asked about. */
  | { readonly kind: 'same'; readonly route: string }
  /** It arrives elsewhere. */
  | { readonly kind: 'other'; readonly route: string; readonly target: string }
  | Refused

/** Where a name goes and what comes back, for people and for `--output json`. */
export type Explanation = {
  readonly direction: Direction
  readonly name: string
  readonly outcome:
    | {
        readonly kind: 'route'
        /** Name of the route that takes it. */
        readonly route: string
        /** Its index in the configuration. */
        readonly index: number
        /** What the route's pattern matched: the name without the prefix. */
        readonly x: string
        /** Name on the far side. */
        readonly target: string
        readonly escaped: boolean
        readonly back: WayBack
      }
    | Refused
}

const REMEDIES: Readonly<Record<NameReason, string>> = {
  noRoute: 'add a route whose prefix and pattern match the name',
  unmappable: 'rename it at its source, or exclude it from the route',
  reserved: 'use another first level; the bridge never enters this space',
}

/** Tells which route takes a name, as what it arrives, and whether the way back leads to the same name. */
export function explain(
  table: RouteTable,
  routes: readonly RouteConfig[],
  direction: Direction,
  name: string,
): Explanation {
  const there = table.resolve(direction, name)
  if (there.kind === 'refused') return { direction, name, outcome: refusal(routes, there) }
  const topic = direction === 'mqttToNats' ? name : there.target
  return {
    direction,
    name,
    outcome: {
      kind: 'route',
      route: nameOf(routes, there.route),
      index: there.route,
      x: topic.slice(routes[there.route]?.mqttPrefix.length),
      target: there.target,
      escaped: there.escaped,
      back: wayBack(table, routes, direction, name, there.target),
    },
  }
}

function wayBack(
  table: RouteTable,
  routes: readonly RouteConfig[],
  direction: Direction,
  name: string,
  target: string,
): WayBack {
  const back = table.resolve(direction === 'mqttToNats' ? 'natsToMqtt' : 'mqttToNats', target)
  if (back.kind === 'refused') return refusal(routes, back)
  const route = nameOf(routes, back.route)
  return back.target === name
    ? { kind: 'same', route }
    : { kind: 'other', route, target: back.target }
}

function refusal(
  routes: readonly RouteConfig[],
  { route, reason, text }: { route: number; reason: NameReason; text: string },
): Refused {
  return { kind: 'refused', route: nameOf(routes, route), reason, text, remedy: REMEDIES[reason] }
}

function nameOf(routes: readonly RouteConfig[], index: number): string {
  return routes[index]?.name ?? '(none)'
}
