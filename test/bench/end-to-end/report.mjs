import { PEERS } from './peers.mjs'

/**
 * What one run gave, or the medians of several. CPU is in seconds per million messages that arrived;
 * `total` is bridge, Mosquitto and nats-server together. `p50` and `p99` are milliseconds.
 *
 * @typedef {{
 *   messages: number,
 *   received: number,
 *   perSecond: number,
 *   cpu: Partial<Record<'bridge' | 'mosquitto' | 'natsServer' | 'total' | 'load' | 'sink', number>>,
 *   peakMegabytes: number,
 *   p50?: number | undefined,
 *   p99?: number | undefined,
 * }} Figures
 * @typedef {{ scenario: string, title: string, peer: keyof typeof PEERS, runs: Figures[] }} Series
 */

/**
 * The median of each figure by itself.
 *
 * @param {Figures[]} runs at least one
 * @returns {Figures}
 */
export function medians(runs) {
  const of = (/** @type {(run: Figures) => number | undefined} */ figure) => {
    const sorted = runs.flatMap((run) => figure(run) ?? []).sort((a, b) => a - b)
    const middle = sorted.length >> 1
    return sorted.length % 2 === 1 ? sorted[middle] : mean(sorted[middle - 1], sorted[middle])
  }
  const cpuNames = /** @type {(keyof Figures['cpu'])[]} */ (Object.keys(runs[0].cpu))
  return {
    messages: of((run) => run.messages) ?? 0,
    received: of((run) => run.received) ?? 0,
    perSecond: of((run) => run.perSecond) ?? 0,
    cpu: Object.fromEntries(cpuNames.map((name) => [name, of((run) => run.cpu[name])])),
    peakMegabytes: of((run) => run.peakMegabytes) ?? 0,
    p50: of((run) => run.p50),
    p99: of((run) => run.p99),
  }
}

/**
 * @param {number | undefined} a
 * @param {number | undefined} b
 */
function mean(a, b) {
  return a === undefined || b === undefined ? undefined : (a + b) / 2
}

/**
 * @param {Series[]} series
 * @returns {import('../table.mjs').Table}
 */
export function figuresTable(series) {
  const runs = Math.max(...series.map((one) => one.runs.length))
  return {
    title: `End to end, medians of ${runs} ${runs === 1 ? 'run' : 'runs'}; CPU in seconds per million messages`,
    columns: [
      'scenario',
      'peer',
      'msgs/s',
      'CPU bridge',
      'CPU Mosquitto',
      'CPU nats-server',
      'CPU total',
      '(load)',
      '(sink)',
      'peak RSS MB',
      'p50 ms',
      'p99 ms',
      'lost',
    ],
    rows: series.map((one) => row(one, medians(one.runs))),
  }
}

/**
 * @param {Series} series
 * @param {Figures} median
 */
function row({ title, peer, runs }, median) {
  const { cpu } = median
  return [
    title,
    PEERS[peer].label,
    Math.round(median.perSecond).toLocaleString('en'),
    ...[cpu.bridge, cpu.mosquitto, cpu.natsServer, cpu.total, cpu.load, cpu.sink].map(decimals),
    String(Math.round(median.peakMegabytes)),
    decimals(median.p50),
    decimals(median.p99),
    losses(runs),
  ]
}

/**
 * The part of all messages of all runs that did not arrive; more than sent is said as such.
 *
 * @param {Figures[]} runs
 */
function losses(runs) {
  const sent = runs.reduce((sum, run) => sum + run.messages, 0)
  const missing = runs.reduce((sum, run) => sum + run.messages - run.received, 0)
  if (missing === 0) return '0'
  const percent = ((Math.abs(missing) / sent) * 100).toPrecision(2)
  return missing > 0 ? `${percent} %` : `${percent} % too many`
}

/** @param {number | undefined} value */
function decimals(value) {
  return value === undefined ? '–' : value.toFixed(2)
}

/**
 * @param {import('./targets.mjs').Verdict[]} verdicts
 * @returns {import('../table.mjs').Table}
 */
export function targetsTable(verdicts) {
  return {
    title: 'Targets of mqtt-nats-bridge',
    columns: ['scenario', 'figure', 'target', 'measured', ''],
    rows: verdicts.map(({ scenario, text, limit, value, state }) => [
      scenario,
      text,
      limit,
      decimals(value),
      state,
    ]),
  }
}
