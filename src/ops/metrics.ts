import { collectDefaultMetrics, type Metric, Registry } from 'prom-client'
import type { BridgeReport } from '../core/status.ts'
import { LINK_METRICS } from './link-metrics.ts'
import { MESSAGE_METRICS } from './message-metrics.ts'
import type { MetricDefinition } from './metric-definition.ts'
import { groupRoutes, type MetricExtras, type Scene } from './metric-scene.ts'
import { PROCESS_METRICS } from './process-metrics.ts'

/** Every metric of the bridge's own. Names are public interface: `docs/metrics.md` lists them, alerts use them. */
export const METRICS: readonly MetricDefinition[] = [
  ...PROCESS_METRICS,
  ...MESSAGE_METRICS,
  ...LINK_METRICS,
]

/** A rendered scrape. */
export interface Exposition {
  readonly contentType: string
  readonly body: string
}

/**
 * The `/metrics` page: the bridge's own figures, read from its report at each scrape, and those prom-client
 * keeps of the process (`process_…`, `nodejs_…`).
 *
 * The message path counts in plain fields, because a labelled counter of prom-client hashes its labels on
 * every call, and a histogram of it cannot be set. So each metric here is an object of our own that hands its
 * series to prom-client's registry when that asks.
 */
export class Metrics {
  readonly #report: () => BridgeReport
  readonly #extras: MetricExtras
  readonly #registry = new Registry()
  #scene: Scene | undefined
  #measuring = false

  /** @param report called once per scrape */
  constructor(report: () => BridgeReport, extras: MetricExtras) {
    this.#report = report
    this.#extras = extras
    for (const definition of METRICS) this.#register(definition)
  }

  /** Begins to measure the process itself (event loop, garbage collection, memory); may be called again. */
  start(): void {
    if (this.#measuring) return
    this.#measuring = true
    collectDefaultMetrics({ register: this.#registry })
    // Gauges named like counters: refused by strict readers, and there by type under `nodejs_active_…` anyway.
    for (const name of ['handles', 'requests', 'resources']) {
      this.#registry.removeSingleMetric(`nodejs_active_${name}_total`)
    }
  }

  /**
   * One scrape.
   * @param accept the Accept header: OpenMetrics when it is asked for, the Prometheus text format otherwise
   */
  async render(accept = ''): Promise<Exposition> {
    const report = this.#report()
    this.#scene = { report, extras: this.#extras, groups: groupRoutes(report.routes) }
    // prom-client writes `Nan`, both formats say `NaN`.
    const text = (await this.#registry.metrics()).replace(/ Nan$/gm, ' NaN')
    if (!prefersOpenMetrics(accept)) {
      return { contentType: Registry.PROMETHEUS_CONTENT_TYPE, body: text }
    }
    return { contentType: Registry.OPENMETRICS_CONTENT_TYPE, body: toOpenMetrics(text) }
  }

  #register(definition: MetricDefinition): void {
    const { name, help, type, read } = definition
    const metric = {
      name,
      help,
      type,
      aggregator: 'sum',
      get: () =>
        Promise.resolve({
          name,
          help,
          type,
          aggregator: 'sum',
          values: this.#scene === undefined ? [] : read(this.#scene),
        }),
      reset: () => {},
    }
    // The registry only calls get() and reset(); its type asks for one of prom-client's own four classes.
    this.#registry.registerMetric(metric as unknown as Metric)
  }
}

/**
 * The same scrape as OpenMetrics 1.0: a counter family is named without `_total`, and the end is marked. Done
 * on the text because prom-client's own OpenMetrics mode renames its metrics for good.
 */
function toOpenMetrics(text: string): string {
  const renamed = text.replace(
    /^# HELP (\S+)_total (.*)\n# TYPE \1_total counter$/gm,
    '# HELP $1 $2\n# TYPE $1 counter',
  )
  return `${renamed.replace(/\n\n+/g, '\n').trimEnd()}\n# EOF\n`
}

/** Whether the Accept header names OpenMetrics, and gives it no less weight than plain text. */
function prefersOpenMetrics(accept: string): boolean {
  let openMetrics = 0
  let plain = 0
  for (const item of accept.split(',')) {
    const [type = '', ...parameters] = item.split(';').map((part) => part.trim().toLowerCase())
    const quality = parameters.find((parameter) => parameter.startsWith('q='))
    const weight = quality === undefined ? 1 : Number(quality.slice(2)) || 0
    if (type === 'application/openmetrics-text') openMetrics = Math.max(openMetrics, weight)
    if (type === 'text/plain') plain = Math.max(plain, weight)
  }
  return openMetrics > 0 && openMetrics >= plain
}
