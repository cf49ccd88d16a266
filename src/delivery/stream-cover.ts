import type { RouteConfig } from '../core/config.ts'

/** A stream, as far as delivery cares. */
export interface CoveringStream {
  readonly name: string
  readonly subjects: readonly string[]
  readonly acknowledges: boolean
  readonly retention: string
  /** Stores messages under other subjects than they were published to. */
  readonly renames?: boolean
}

/** What one durable consumer reads. */
export interface Reading {
  readonly stream: string
  readonly route: number
  readonly filters: readonly string[]
}

export interface StreamCoverDeps {
  readonly routes: readonly RouteConfig[]
  readonly matches: (wildcard: string, subject: string) => boolean
  readonly covers: (a: string, b: string) => boolean
  /** The wildcard that matches what both match. */
  readonly intersect: (a: string, b: string) => string | undefined
  /** Wildcards of a route's NATS side. */
  readonly wildcardsOf: (route: number) => readonly string[]
}

/** Which streams take part: what they store for us on the way to NATS, and what we read from them. */
export class StreamCover {
  readonly #deps: StreamCoverDeps
  #streams: readonly CoveringStream[] = []
  #readings: readonly Reading[] = []

  constructor(deps: StreamCoverDeps) {
    this.#deps = deps
  }

  /** The streams as they are now. */
  update(streams: readonly CoveringStream[]): void {
    this.#streams = streams
    this.#readings = this.#deps.routes.flatMap((route, index) =>
      reads(route) ? streams.flatMap((stream) => this.#reading(index, stream)) : [],
    )
  }

  /** Name of the stream that stores a subject and answers for it. */
  streamOf(subject: string): string | undefined {
    return this.#streams.find(
      ({ subjects, acknowledges }) =>
        acknowledges && subjects.some((wildcard) => this.#deps.matches(wildcard, subject)),
    )?.name
  }

  /** What the durable consumers read. */
  get readings(): readonly Reading[] {
    return this.#readings
  }

  isRead(route: number, stream: string): boolean {
    return this.#readings.some((one) => one.route === route && one.stream === stream)
  }

  /** Whether everything a wildcard would bring, for whichever route, comes through consumers already. */
  isCovered(wildcard: string): boolean {
    const { routes, wildcardsOf, covers, intersect } = this.#deps
    return routes.every((route, index) => {
      const own = wildcardsOf(index).filter((one) => intersect(one, wildcard) !== undefined)
      if (route.direction === 'mqttToNats' || own.length === 0) return true
      const filters = this.#readings.flatMap((one) => (one.route === index ? one.filters : []))
      return own.every((one) => {
        const both = intersect(one, wildcard)
        return both === undefined || filters.some((filter) => covers(filter, both))
      })
    })
  }

  /** Streams that take part in a route, by name. */
  streamsOf(route: number): readonly string[] {
    const wildcards = this.#deps.wildcardsOf(route)
    return this.#streams
      .filter(({ subjects }) =>
        subjects.some((one) =>
          wildcards.some((two) => this.#deps.intersect(one, two) !== undefined),
        ),
      )
      .map(({ name }) => name)
  }

  /**
   * A stream that gives each message to one consumer only is left to whom it is meant for, and of one that
   * renames, messages are known under the names they were published with, so they are taken live.
   */
  #reading(route: number, stream: CoveringStream): Reading[] {
    if (stream.retention === 'workqueue' || !stream.acknowledges || stream.renames) return []
    const filters = new Set<string>()
    for (const subject of stream.subjects) {
      for (const wildcard of this.#deps.wildcardsOf(route)) {
        const both = this.#deps.intersect(subject, wildcard)
        if (both !== undefined) filters.add(both)
      }
    }
    return filters.size === 0 ? [] : [{ stream: stream.name, route, filters: [...filters] }]
  }
}

function reads(route: RouteConfig): boolean {
  if (route.direction === 'mqttToNats' || route.class === 'live') return false
  return route.delivery === 'durable' || route.delivery === 'auto'
}
