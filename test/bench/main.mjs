// All benchmarks, one after the other: `npm run bench`, `npm run bench -- --help`.
import { cpus } from 'node:os'
import { helpText, readOptions } from './options.mjs'
import { tableText } from './table.mjs'

/**
 * What a part gives: tables for people, data for programs.
 *
 * @typedef {{ tables: import('./table.mjs').Table[], data: unknown }} PartResult
 * @typedef {{ run: (options: import('./options.mjs').BenchOptions) => Promise<PartResult> }} Part
 */

/** @type {Record<string, () => Promise<Part>>} */
const PARTS = {
  mapping: () => import('./mapping.bench.mjs'),
  flow: () => import('./flow.bench.mjs'),
  'end-to-end': () => import('./end-to-end.bench.mjs'),
}

// Leaving through process.exit ends all children and removes their folders (end-to-end/stage.mjs).
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))

process.exitCode = await main()

async function main() {
  const options = optionsOrProblem()
  if (options instanceof Error) {
    process.stderr.write(`${describe(options)}\n\n${helpText(Object.keys(PARTS))}\n`)
    return 2
  }
  if (options === 'help') {
    console.log(helpText(Object.keys(PARTS)))
    return 0
  }
  try {
    await runParts(options)
    return 0
  } catch (error) {
    process.stderr.write(`${describe(error)}\n`)
    return 1
  }
}

function optionsOrProblem() {
  try {
    return readOptions(process.argv.slice(2), Object.keys(PARTS))
  } catch (error) {
    return /** @type {Error} */ (error)
  }
}

/** @param {import('./options.mjs').BenchOptions} options */
async function runParts(options) {
  /** @type {Record<string, unknown>} */
  const data = { machine: machine() }
  for (const name of options.parts) {
    const part = await PARTS[name]()
    const result = await part.run(options)
    data[name] = result.data
    if (options.output === 'text')
      for (const table of result.tables) console.log(`\n${tableText(table)}`)
  }
  if (options.output === 'json') console.log(JSON.stringify(data, undefined, 2))
  else console.log(`\n${machine()}`)
}

function machine() {
  const cores = cpus()
  return `Node ${process.version} on ${cores.length} × ${cores[0]?.model ?? 'unknown CPU'}`
}

/**
 * @param {unknown} error
 * @returns {string}
 */
function describe(error) {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `: ${describe(error.cause)}`
  return `${error.message}${cause}`
}
