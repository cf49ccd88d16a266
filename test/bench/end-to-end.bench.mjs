import { measure } from './end-to-end/measure.mjs'
import { PEERS } from './end-to-end/peers.mjs'
import { figuresTable, medians, targetsTable } from './end-to-end/report.mjs'
import { SCENARIOS } from './end-to-end/scenarios.mjs'
import { findTools, versions } from './end-to-end/servers.mjs'
import { judge } from './end-to-end/targets.mjs'

/**
 * Messages through a real Mosquitto and a real nats-server, by this bridge and by its two peers in
 * turn, on fresh servers each time.
 *
 * @param {import('./options.mjs').BenchOptions} options
 * @returns {Promise<import('./main.mjs').PartResult>}
 */
export async function run(options) {
  const scenarios = SCENARIOS.filter(({ name }) => options.scenarios.includes(name))
  const peers = options.peers
  const tools = await findTools()
  const series = scenarios.flatMap(({ name, title }) =>
    peers.map((peer) => ({ scenario: name, title, peer, runs: /** @type {Figures[]} */ ([]) })),
  )

  for (let i = 0; i < options.runs; i++) {
    for (const scenario of scenarios) {
      // Another peer goes first each time, so that none always has the cooler machine.
      for (const peer of rotated(peers, i)) {
        const figures = await measure(peer, scenario, options, tools)
        series
          .find((one) => one.scenario === scenario.name && one.peer === peer)
          ?.runs.push(figures)
        tell(options, `run ${i + 1}/${options.runs} ${scenario.name} ${peer}`, figures)
      }
    }
  }

  const medianOf = (/** @type {string} */ scenario, /** @type {string} */ peer) => {
    const found = series.find((one) => one.scenario === scenario && one.peer === peer)
    return found && medians(found.runs)
  }
  const targets = judge(
    medianOf,
    scenarios.map(({ name }) => name),
  )
  return {
    tables: [figuresTable(series), targetsTable(targets)],
    data: {
      versions: versions(tools),
      series: series.map((one) => ({
        ...one,
        label: PEERS[one.peer].label,
        median: medians(one.runs),
      })),
      targets,
    },
  }
}

/** @typedef {import('./end-to-end/report.mjs').Figures} Figures */

/**
 * @template T
 * @param {T[]} list
 * @param {number} by
 */
function rotated(list, by) {
  const first = by % list.length
  return [...list.slice(first), ...list.slice(0, first)]
}

/**
 * @param {import('./options.mjs').BenchOptions} options
 * @param {string} what
 * @param {Figures} figures
 */
function tell({ progress }, what, { perSecond, cpu, messages, received }) {
  const missing = received === messages ? '' : `, ${messages - received} of ${messages} missing`
  progress(
    `${what}: ${Math.round(perSecond)} msgs/s, ${cpu.total?.toFixed(2)} CPU s/million${missing}`,
  )
}
