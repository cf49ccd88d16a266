import { parseArgs } from 'node:util'
import { PEERS } from './end-to-end/peers.mjs'
import { SCENARIOS } from './end-to-end/scenarios.mjs'

/**
 * @typedef {keyof typeof PEERS} PeerName
 * @typedef {{
 *   parts: string[], runs: number, quick: boolean, scenarios: string[], peers: PeerName[],
 *   messages: number, payload: number, outstanding: number, window: number, oneWay: boolean,
 *   output: 'text' | 'json', progress: (line: string) => void,
 * }} BenchOptions
 */

/** @param {string[]} parts */
export const helpText = (parts) => `npm run bench -- [options]

  --part LIST        ${parts.join(', ')} (default: all)
  --runs N           alternating runs, of which medians are taken (default 5)
  --quick            one short run
  --only LIST        peers of the end-to-end part: ${Object.keys(PEERS).join(', ')}
  --scenario LIST    ${SCENARIOS.map(({ name }) => name).join(', ')}
  --messages N       messages at QoS 0; the other scenarios send a fixed part of it (default 1000000)
  --payload N        bytes (default 100)
  --outstanding N    most messages sent and not yet arrived (default 50000)
  --window N         most QoS 1 messages the load has unacknowledged (default 2000)
  --one-way          bridges carry the measured direction only, not both
  --output FORMAT    text or json

Exit codes: 0 measured, 1 a program under test failed, 2 wrong usage.`

/**
 * @param {string[]} args
 * @param {string[]} knownParts
 * @returns {BenchOptions | 'help'}
 */
export function readOptions(args, knownParts) {
  const text = /** @type {const} */ ({ type: 'string' })
  const flag = /** @type {const} */ ({ type: 'boolean', default: false })
  const { values } = parseArgs({
    args,
    options: {
      help: flag,
      part: text,
      runs: text,
      quick: flag,
      only: text,
      scenario: text,
      messages: text,
      payload: text,
      outstanding: text,
      window: text,
      'one-way': flag,
      output: text,
    },
  })
  if (values.help) return 'help'
  const { quick } = values
  return {
    parts: names('part', values.part, knownParts),
    runs: count('runs', values.runs, quick ? 1 : 5),
    quick,
    scenarios: names(
      'scenario',
      values.scenario,
      SCENARIOS.map(({ name }) => name),
    ),
    peers: /** @type {PeerName[]} */ (names('only', values.only, Object.keys(PEERS))),
    messages: count('messages', values.messages, quick ? 300_000 : 1_000_000),
    payload: count('payload', values.payload, 100),
    outstanding: count('outstanding', values.outstanding, 50_000),
    window: count('window', values.window, 2000),
    oneWay: values['one-way'],
    output: /** @type {'text' | 'json'} */ (
      names('output', values.output ?? 'text', ['text', 'json'])[0]
    ),
    progress: (line) => process.stderr.write(`${line}\n`),
  }
}

/**
 * @param {string} option
 * @param {string | undefined} value names with commas between; all of them when not given
 * @param {string[]} known
 */
function names(option, value, known) {
  const given = value?.split(',') ?? known
  const unknown = given.find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new TypeError(`reading '--${option}': '${unknown}' is none of ${known.join(', ')}`)
  return given
}

/**
 * @param {string} option
 * @param {string | undefined} value
 * @param {number} otherwise
 */
function count(option, value, otherwise) {
  if (value === undefined) return otherwise
  const number = Number(value)
  if (!Number.isInteger(number) || number < 1)
    throw new TypeError(`reading '--${option}': '${value}' is not a whole number above 0`)
  return number
}
