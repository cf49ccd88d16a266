import { type DropReason, RouteBooks } from '../core/books.ts'
import type { Direction, RouteConfig } from '../core/config.ts'
import { Mode, type Plan } from './plans.ts'

/** Where a name goes, as the mapping room answers. */
export type Resolved =
  | { readonly kind: 'route'; readonly route: number; readonly target: string }
  | {
      readonly kind: 'refused'
      readonly route: number
      readonly reason: DropReason
      readonly text: string
    }

/** What the planner asks the other rooms. */
export interface PlannerDeps {
  readonly routes: readonly RouteConfig[]
  readonly resolve: (direction: Direction, name: string) => Resolved
  /** Index + 1 of the subscription whose copy counts; 0 when no two overlap. */
  readonly ownerOf: (direction: Direction, name: string) => number
  /** Name of the stream that stores a subject and answers for it. */
  readonly streamOf: (subject: string) => string | undefined
  /** Whether a durable consumer reads this stream for this route. */
  readonly reads: (route: number, stream: string) => boolean
}

/** The entry of `/status` for what no route takes. */
export const NO_ROUTE = '(none)'

/** Decides, once per name, what becomes of its messages, and keeps the books of the routes. */
export class Planner {
  readonly #deps: PlannerDeps
  readonly #books = new Map<string, RouteBooks>()

  constructor(deps: PlannerDeps) {
    this.#deps = deps
    for (const direction of ['mqttToNats', 'natsToMqtt'] as const) {
      for (const route of deps.routes) {
        if (route.direction === 'both' || route.direction === direction) {
          this.#booksOf(route.name, direction)
        }
      }
      this.#booksOf(NO_ROUTE, direction)
    }
  }

  get books(): readonly RouteBooks[] {
    return [...this.#books.values()]
  }

  /** @param prepare makes the sink's target for a subject */
  toNats<Target>(topic: string, prepare: (subject: string) => Target): Plan<Target> {
    return this.#plan('mqttToNats', topic, prepare, (route, subject) => {
      const mode = wished(route)
      if (mode !== undefined) return mode
      if (this.#deps.streamOf(subject) !== undefined) return Mode.durable
      return route.delivery === 'durable' ? undefined : Mode.confirmed
    })
  }

  /** @param prepare makes the sink's target for a topic */
  toMqtt<Target>(subject: string, prepare: (topic: string) => Target): Plan<Target> {
    return this.#plan('natsToMqtt', subject, prepare, (route) => {
      const mode = wished(route)
      if (mode !== undefined) return Mode.live
      const stream = this.#deps.streamOf(subject)
      if (stream !== undefined && this.#deps.reads(this.#deps.routes.indexOf(route), stream)) {
        return Mode.durable
      }
      return route.delivery === 'durable' ? undefined : Mode.live
    })
  }

  /** @param modeOf undefined when the route insists on a stream and there is none */
  #plan<Target>(
    direction: Direction,
    name: string,
    prepare: (address: string) => Target,
    modeOf: (route: RouteConfig, target: string) => Mode | undefined,
  ): Plan<Target> {
    const resolved = this.#deps.resolve(direction, name)
    const route = this.#deps.routes[resolved.route]
    const owner = this.#deps.ownerOf(direction, name)
    if (resolved.kind === 'refused' || route === undefined) {
      const { reason, text } =
        resolved.kind === 'refused' ? resolved : ({ reason: 'noRoute', text: '' } as const)
      const said = `'${short(name)}': ${text}`
      const plan = this.#refused<Target>(direction, route, resolved.route, owner, reason, said)
      // what a stream brings is counted where it comes from the stream, not once more where it comes live
      const mode = route === undefined ? undefined : modeOf(route, '')
      return { ...plan, mode: mode ?? plan.mode }
    }
    const mode = modeOf(route, resolved.target)
    if (mode === undefined) {
      const text = `'${short(name)}': no stream covers it, and the route is durable`
      return this.#refused(direction, route, resolved.route, owner, 'noStream', text)
    }
    return {
      books: this.#booksOf(route.name, direction),
      route: resolved.route,
      target: prepare(resolved.target),
      address: resolved.target,
      refusal: undefined,
      text: '',
      mode,
      qos: Math.min(route.qos, 1),
      retain: route.retain,
      owner,
    }
  }

  #refused<Target>(
    direction: Direction,
    route: RouteConfig | undefined,
    index: number,
    owner: number,
    reason: DropReason,
    text: string,
  ): Plan<Target> {
    return {
      books: this.#booksOf(route?.name ?? NO_ROUTE, direction),
      route: index,
      target: undefined,
      address: '',
      refusal: reason,
      text,
      mode: Mode.live,
      qos: 0,
      retain: 'keep',
      owner,
    }
  }

  #booksOf(route: string, direction: Direction): RouteBooks {
    const key = `${direction} ${route}`
    let books = this.#books.get(key)
    if (books === undefined) {
      books = new RouteBooks(route, direction)
      this.#books.set(key, books)
    }
    return books
  }
}

/** What the route says whatever the streams are; undefined when they decide. */
function wished(route: RouteConfig): Mode | undefined {
  if (route.delivery === 'live' || route.class === 'live') return Mode.live
  return route.delivery === 'confirmed' ? Mode.confirmed : undefined
}

function short(name: string): string {
  return name.length > 120 ? `${name.slice(0, 120)}…` : name
}
