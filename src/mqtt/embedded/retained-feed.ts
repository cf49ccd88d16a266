import type { BrokerPacket } from './store.ts'
import { covers } from './topics.ts'

/** The rest of one feed, then another. */
export function* chain(
  before: Iterator<BrokerPacket> | undefined,
  after: Iterable<BrokerPacket>,
): Generator<BrokerPacket> {
  for (let next = before?.next(); next?.done === false; next = before?.next()) yield next.value
  yield* after
}

/** What of the retained messages the filters cover, looked up as it is asked for. */
export function* storedFor(
  filters: readonly string[],
  retained: Iterable<BrokerPacket>,
): Generator<BrokerPacket> {
  for (const packet of retained) {
    if (filters.some((filter) => covers(filter, packet.topic))) yield packet
  }
}
