/**
 * @typedef {import('./report.mjs').Figures} Figures
 * @typedef {{
 *   scenario: string,
 *   text: string,
 *   figure: (figures: Figures) => number | undefined,
 *   of: 'mosquitto' | 'plain',
 *   atLeast?: number,
 *   atMost?: number,
 * }} Target
 * @typedef {{
 *   scenario: string, text: string, limit: string, value: number | undefined,
 *   state: 'reached' | 'not reached' | 'not measured',
 * }} Verdict
 */

/** Most resident memory the bridge may take in any scenario, MB. */
const MOST_MEMORY = 130

/** @type {Target[]} */
const TARGETS = [
  ...throughputAndCpu('mqtt-to-nats-qos0'),
  {
    scenario: 'mqtt-to-nats-qos0',
    text: 'CPU of the bridge itself / plain program',
    figure: ({ cpu }) => cpu.bridge,
    of: 'plain',
    atMost: 0.25,
  },
  ...throughputAndCpu('mqtt-to-nats-qos1'),
  {
    scenario: 'mqtt-to-nats-qos1',
    text: 'throughput / plain program',
    figure: ({ perSecond }) => perSecond,
    of: 'plain',
    atLeast: 6,
  },
  ...throughputAndCpu('nats-to-mqtt-qos0').slice(0, 1),
  {
    scenario: 'latency',
    text: "p50 / Mosquitto's bridge",
    figure: ({ p50 }) => p50,
    of: 'mosquitto',
    atMost: 1.5,
  },
  {
    scenario: 'latency',
    text: 'p99 / plain program',
    figure: ({ p99 }) => p99,
    of: 'plain',
    atMost: 1,
  },
]

/**
 * @param {string} scenario
 * @returns {Target[]}
 */
function throughputAndCpu(scenario) {
  return [
    {
      scenario,
      text: "throughput / Mosquitto's bridge",
      figure: ({ perSecond }) => perSecond,
      of: 'mosquitto',
      atLeast: 1,
    },
    {
      scenario,
      text: "CPU of all processes / Mosquitto's bridge",
      figure: ({ cpu }) => cpu.total,
      of: 'mosquitto',
      atMost: 1,
    },
  ]
}

/**
 * Holds the medians against what the bridge aims at.
 *
 * @param {(scenario: string, peer: string) => Figures | undefined} medianOf
 * @param {string[]} scenarios those that were measured
 * @returns {Verdict[]}
 */
export function judge(medianOf, scenarios) {
  const verdicts = TARGETS.filter(({ scenario }) => scenarios.includes(scenario)).map((target) => {
    const ours = medianOf(target.scenario, 'ours')
    const other = medianOf(target.scenario, target.of)
    const mine = ours && target.figure(ours)
    const theirs = other && target.figure(other)
    const value = mine === undefined || !theirs ? undefined : mine / theirs
    return verdict(target.scenario, target.text, value, target)
  })
  return [...verdicts, memoryVerdict(medianOf, scenarios)]
}

/**
 * @param {(scenario: string, peer: string) => Figures | undefined} medianOf
 * @param {string[]} scenarios
 */
function memoryVerdict(medianOf, scenarios) {
  const peaks = scenarios.flatMap((scenario) => medianOf(scenario, 'ours')?.peakMegabytes ?? [])
  const value = peaks.length > 0 ? Math.max(...peaks) : undefined
  return verdict('all', 'peak RSS, MB', value, { atMost: MOST_MEMORY })
}

/**
 * @param {string} scenario
 * @param {string} text
 * @param {number | undefined} value
 * @param {{ atLeast?: number, atMost?: number }} limits
 * @returns {Verdict}
 */
function verdict(scenario, text, value, { atLeast = 0, atMost = Number.POSITIVE_INFINITY }) {
  const limit = atLeast > 0 ? `≥ ${atLeast}` : `≤ ${atMost}`
  const isReached = value !== undefined && value >= atLeast && value <= atMost
  const measured = isReached ? 'reached' : 'not reached'
  return { scenario, text, limit, value, state: value === undefined ? 'not measured' : measured }
}
