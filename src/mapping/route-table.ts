import type { Direction, Qos, RouteConfig } from '../core/config.ts'
import type { Problem } from '../core/errors.ts'
import {
  filterToWildcards,
  needsEscape,
  subjectToTopic,
  subjectToTopicLossy,
  topicToSubject,
} from './codec.ts'
import {
  covers,
  matchSubject,
  matchTopic,
  minimalCover,
  overlaps,
  plainFilter,
  startsWithWildcard,
  validFilter,
  widenToDisjoint,
  wildcardCovers,
  wildcardsIntersect,
} from './filters.ts'
import {
  checkPublishTopic,
  checkSubject,
  checkTopic,
  isReserved,
  type NameReason,
  type Refusal,
} from './names.ts'
import { carries, checkRoute, warnRoutes } from './route-check.ts'

/** Where a name goes: to a target on the far side, or nowhere and why. */
export type Resolution =
  | {
      readonly kind: 'route'
      /** Index in the configured routes. */
      readonly route: number
      /** Subject (`mqttToNats`) or topic (`natsToMqtt`). */
      readonly target: string
      /** True when the name crosses only because of the escape, which nats-server does not know. */
      readonly escaped: boolean
    }
  | {
      readonly kind: 'refused'
      /** Index of the route that would have taken it; -1 when there is none. */
      readonly route: number
      readonly reason: NameReason
      readonly text: string
    }

/** One thing to subscribe to on the near side of a direction. */
export interface Subscription {
  /** MQTT filter or NATS wildcard. */
  readonly address: string
  /** Highest ceiling of the routes that may take a message of this subscription. */
  readonly qos: Qos
}

interface Compiled {
  readonly index: number
  readonly config: RouteConfig
  /** As the broker is told it. */
  readonly filter: string
  readonly wildcards: readonly string[]
  readonly excludedWildcards: readonly string[]
}

/**
 * Turns the configured routes into a table. Routes with problems are left out of it.
 * @returns the table, everything that must be corrected, and what is legal but surely not meant
 */
export function compileRoutes(routes: readonly RouteConfig[]): {
  readonly table: RouteTable
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
} {
  const compiled: Compiled[] = []
  const problems: Problem[] = []
  for (const [index, config] of routes.entries()) {
    const found = checkRoute(config, index)
    problems.push(...found)
    if (found.length === 0) compiled.push(compile(config, index))
  }
  const legal = new Set(compiled.map((route) => route.index))
  return { table: new RouteTable(compiled), problems, warnings: warnRoutes(routes, legal) }
}

function compile(config: RouteConfig, index: number): Compiled {
  const { natsPrefix, pattern } = config
  const wildcards = filterToWildcards(natsPrefix + pattern)
  const excluded = config.exclude
    .map((filter) => natsPrefix + filter)
    .filter((filter) => validFilter(filter) === undefined)
  return {
    index,
    config,
    filter: plainFilter(config.mqttPrefix + pattern),
    // `site/` + `#` would match `site` too, which lacks the prefix and is no name of the route.
    wildcards: pattern === '#' && natsPrefix !== '' ? wildcards.slice(0, 1) : wildcards,
    excludedWildcards: excluded.flatMap(filterToWildcards),
  }
}

/**
 * Answers where a message goes. On MQTT a topic is `mqttPrefix + x`, on NATS a subject is the conversion of
 * `natsPrefix + x`, for every x a route's pattern matches; the first route that takes a name decides. Made by
 * {@link compileRoutes}, immutable. Answers are meant to be cached by the caller.
 */
export class RouteTable {
  readonly #routes: readonly Compiled[]
  readonly #byDirection: Readonly<Record<Direction, readonly Compiled[]>>
  readonly #subscriptions: Readonly<Record<Direction, readonly Subscription[]>>

  /** Use {@link compileRoutes}. */
  constructor(routes: readonly Compiled[]) {
    this.#routes = routes
    const mqttToNats = routes.filter((route) => carries(route.config, 'mqttToNats'))
    const natsToMqtt = routes.filter((route) => carries(route.config, 'natsToMqtt'))
    this.#byDirection = { mqttToNats, natsToMqtt }
    const filters = minimalCover(mqttToNats.map((route) => route.filter))
    const wildcards = minimalCover(
      natsToMqtt.flatMap((route) => route.wildcards),
      wildcardCovers,
    )
    this.#subscriptions = {
      mqttToNats: withCeiling(filters, mqttToNats),
      natsToMqtt: wildcards.map((address) => ({
        address,
        qos: ceiling(natsToMqtt, (route) =>
          route.wildcards.some((own) => wildcardsIntersect(own, address) !== undefined),
        ),
      })),
    }
  }

  /** Where a near-side name (topic for `mqttToNats`, subject for `natsToMqtt`) goes. Any string is answered. */
  resolve(direction: Direction, name: string): Resolution {
    return direction === 'mqttToNats' ? this.#toNats(name) : this.#toMqtt(name)
  }

  /** What to subscribe to on the near side, none of it covered by another entry; entries may overlap. */
  subscriptions(direction: Direction): readonly Subscription[] {
    return this.#subscriptions[direction]
  }

  /** True when a message may match two entries of {@link subscriptions}. */
  overlapping(direction: Direction): boolean {
    const list = this.#subscriptions[direction]
    const touch =
      direction === 'mqttToNats'
        ? overlaps
        : (a: string, b: string) => wildcardsIntersect(a, b) !== undefined
    return list.some((one, at) => list.slice(at + 1).some((two) => touch(one.address, two.address)))
  }

  /** Index in {@link subscriptions} of the first entry that matches the name, the one whose copy counts; -1 for none. */
  ownerOf(direction: Direction, name: string): number {
    const matches = direction === 'mqttToNats' ? matchTopic : matchSubject
    return this.#subscriptions[direction].findIndex(({ address }) => matches(address, name))
  }

  /** {@link subscriptions} of `mqttToNats` widened until none overlap, for brokers that cannot tell which subscription a copy is for. */
  disjointSubscriptions(): readonly Subscription[] {
    const filters = this.#subscriptions.mqttToNats.map(({ address }) => address)
    return withCeiling(widenToDisjoint(filters), this.#byDirection.mqttToNats)
  }

  /** NATS wildcards of a route's NATS side, in either direction; empty for an index that is not in the table. */
  wildcardsOf(route: number): readonly string[] {
    return this.#routes.find(({ index }) => index === route)?.wildcards ?? []
  }

  /** Indexes of the routes that carry messages in this direction, in their order. */
  routesFor(direction: Direction): readonly number[] {
    return this.#byDirection[direction].map(({ index }) => index)
  }

  #toNats(topic: string): Resolution {
    for (const route of this.#byDirection.mqttToNats) {
      const { mqttPrefix, natsPrefix } = route.config
      if (!topic.startsWith(mqttPrefix)) continue
      const x = topic.slice(mqttPrefix.length)
      if (!takes(route, x)) continue
      const name = natsPrefix + x
      const subject = topicToSubject(name)
      return answer(route, name, subject, checkTopic(name) ?? checkSubject(subject))
    }
    return refused(-1, 'noRoute', 'no route takes this topic')
  }

  #toMqtt(subject: string): Resolution {
    if (isReserved(subject)) {
      return refused(-1, 'reserved', 'the subject lies in a space reserved by NATS or the bridge')
    }
    const name = subjectToTopic(subject)
    if (name === undefined) return this.#withoutTopic(subject)
    for (const route of this.#byDirection.natsToMqtt) {
      const { mqttPrefix, natsPrefix } = route.config
      if (!name.startsWith(natsPrefix)) continue
      const x = name.slice(natsPrefix.length)
      if (!takes(route, x)) continue
      const topic = mqttPrefix + x
      return answer(route, name, topic, checkTopic(name) ?? checkPublishTopic(topic))
    }
    return refused(-1, 'noRoute', 'no route takes this subject')
  }

  /** A subject that is no topic's conversion is charged to the route that brought it here. */
  #withoutTopic(subject: string): Resolution {
    const closest = subjectToTopicLossy(subject)
    const route = this.#byDirection.natsToMqtt.find(
      ({ config, wildcards, excludedWildcards }) =>
        wildcards.some((wildcard) => matchSubject(wildcard, subject)) &&
        !excludedWildcards.some((wildcard) => matchSubject(wildcard, subject)) &&
        !(closest.startsWith('$', config.natsPrefix.length) && startsWithWildcard(config.pattern)),
    )
    if (route === undefined) return refused(-1, 'noRoute', 'no route takes this subject')
    return refused(route.index, 'unmappable', 'the subject is not the conversion of any topic')
  }
}

function takes({ config }: Compiled, x: string): boolean {
  return matchTopic(config.pattern, x) && !config.exclude.some((filter) => matchTopic(filter, x))
}

/** @param name the NATS-side name in topic form, where escapes show */
function answer(
  route: Compiled,
  name: string,
  target: string,
  refusal: Refusal | undefined,
): Resolution {
  if (refusal !== undefined) return refused(route.index, refusal.reason, refusal.text)
  const escaped = needsEscape(name)
  if (escaped && route.config.unmappable === 'deadLetter') {
    const text = 'the topic holds a space or control character and the route does not escape'
    return refused(route.index, 'unmappable', text)
  }
  return { kind: 'route', route: route.index, target, escaped }
}

function refused(route: number, reason: NameReason, text: string): Resolution {
  return { kind: 'refused', route, reason, text }
}

/**
 * A message may be taken by any route whose filter overlaps a subscription, also by one that has a
 * subscription of its own, so each subscription asks for the highest of their ceilings.
 */
function withCeiling(
  filters: readonly string[],
  routes: readonly Compiled[],
): readonly Subscription[] {
  return filters.map((address) => ({
    address,
    qos: ceiling(routes, ({ filter }) => covers(address, filter) || overlaps(address, filter)),
  }))
}

function ceiling(routes: readonly Compiled[], involved: (route: Compiled) => boolean): Qos {
  let highest: Qos = 0
  for (const route of routes) {
    if (route.config.qos > highest && involved(route)) highest = route.config.qos
  }
  return highest
}
