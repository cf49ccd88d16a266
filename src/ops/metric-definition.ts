import { durationSamples, type Reader } from './metric-scene.ts'

/** One metric: its public name, what it means, and how a scrape reads it from the bridge. */
export interface MetricDefinition {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly string[]
  readonly help: string
  readonly read: Reader
}

const PREFIX = 'mqttnats_'

/** A figure that only grows while the process lives; its name ends in `_total`. */
export function counter(
  name: `${string}_total`,
  labels: readonly string[],
  help: string,
  read: Reader,
): MetricDefinition {
  return { name: PREFIX + name, type: 'counter', labels, help, read }
}

/** A figure that goes up and down. */
export function gauge(
  name: string,
  labels: readonly string[],
  help: string,
  read: Reader,
): MetricDefinition {
  return { name: PREFIX + name, type: 'gauge', labels, help, read }
}

/** The distribution of forward durations per route, as the books hold it. */
export function durationHistogram(name: string, help: string): MetricDefinition {
  const full = PREFIX + name
  const labels = ['direction', 'route']
  return { name: full, type: 'histogram', labels, help, read: durationSamples(full) }
}
