import { microseconds } from './wire/clock.mjs'

/** Calls between two looks at the clock. */
const PER_LOOP = 20_000
/** Microseconds each figure is measured for. */
const MEASURED = 300_000
const MEASURED_QUICK = 50_000
/** Distinct names of each kind, so that no call can be answered from the one before. */
const NAMES = 512

/** Kinds of topics; `make` gives the i-th. */
const KINDS = [
  { name: 'plain', make: (/** @type {number} */ i) => `plant/hall${i}/sensor/temperature` },
  { name: 'dotted', make: (/** @type {number} */ i) => `plant.v${i}/hall.1/sensor.a/value` },
  { name: 'escaped', make: (/** @type {number} */ i) => `home/living room ${i}/lamp left/state` },
  { name: 'long', make: (/** @type {number} */ i) => `${`level${i % 10}/`.repeat(140)}end${i}` },
]

/** Keeps results alive, so that the calls cannot be left out. */
let kept = 0

/**
 * What it costs to turn one name into the other, and to have the route table answer for it. The bridge
 * does this once per new name; after that its caches answer.
 *
 * @param {{ runs: number, quick: boolean }} options
 * @returns {Promise<import('./main.mjs').PartResult>}
 */
export async function run({ runs, quick }) {
  const { topicToSubject, subjectToTopic } = await built('mapping/codec.js')
  const { compileRoutes } = await built('mapping/route-table.js')
  const { table, problems } = compileRoutes([route('site/#', 'site/'), route('#', '')])
  if (problems.length > 0) throw new Error(`compiling routes: ${JSON.stringify(problems)}`)

  const data = KINDS.map(({ name, make }) => {
    const topics = Array.from({ length: NAMES }, (_, i) => make(i))
    const subjects = topics.map((topic) => topicToSubject(topic))
    topics.forEach((topic, i) => {
      if (subjectToTopic(subjects[i]) !== topic)
        throw new Error(`mapping '${topic}': does not come back from '${subjects[i]}'`)
    })
    const time = (/** @type {string[]} */ names, /** @type {(name: string) => unknown} */ call) =>
      medianNanoseconds(names, call, runs, quick ? MEASURED_QUICK : MEASURED)
    return {
      name,
      length: Math.round(topics.reduce((sum, topic) => sum + topic.length, 0) / NAMES),
      topicToSubject: time(topics, topicToSubject),
      subjectToTopic: time(subjects, subjectToTopic),
      resolve: time(topics, (topic) => table.resolve('mqttToNats', topic)),
    }
  })
  return { tables: [tableOf(data)], data }
}

/**
 * @param {string} path below dist
 * @returns {Promise<any>}
 */
async function built(path) {
  const url = new URL(`../../dist/${path}`, import.meta.url)
  try {
    return await import(url.href)
  } catch (cause) {
    throw new Error(`loading 'dist/${path}': run npm run build first`, { cause })
  }
}

/**
 * @param {string} pattern
 * @param {string} natsPrefix
 */
function route(pattern, natsPrefix) {
  return {
    name: pattern,
    pattern,
    direction: 'both',
    qos: 1,
    mqttPrefix: '',
    natsPrefix,
    exclude: [],
    delivery: 'auto',
    class: 'event',
    retain: 'keep',
    unmappable: 'escape',
    oversize: 'deadLetter',
    startAt: 'new',
    onConflict: 'mqtt',
  }
}

/**
 * @param {string[]} names
 * @param {(name: string) => unknown} call
 * @param {number} runs
 * @param {number} duration microseconds of each
 */
function medianNanoseconds(names, call, runs, duration) {
  nanoseconds(names, call, duration / 4)
  const all = Array.from({ length: runs }, () => nanoseconds(names, call, duration))
  return all.sort((a, b) => a - b)[runs >> 1]
}

/**
 * @param {string[]} names
 * @param {(name: string) => unknown} call
 * @param {number} duration microseconds
 */
function nanoseconds(names, call, duration) {
  const startedAt = microseconds()
  let calls = 0
  let elapsed = 0
  while (elapsed < duration) {
    for (let i = 0; i < PER_LOOP; i++) if (call(names[i % names.length]) !== undefined) kept++
    calls += PER_LOOP
    elapsed = microseconds() - startedAt
  }
  if (kept === 0) throw new Error('mapping names: nothing was mapped')
  return (elapsed * 1000) / calls
}

/**
 * @typedef {{
 *   name: string, length: number, topicToSubject: number, subjectToTopic: number, resolve: number,
 * }} Row
 * @param {Row[]} rows
 * @returns {import('./table.mjs').Table}
 */
function tableOf(rows) {
  const whole = (/** @type {number} */ value) => Math.round(value).toLocaleString('en')
  return {
    title: 'Mapping, nanoseconds per name',
    columns: ['topic', 'characters', 'topicToSubject', 'subjectToTopic', 'resolve by route table'],
    rows: rows.map((row) => [
      row.name,
      whole(row.length),
      whole(row.topicToSubject),
      whole(row.subjectToTopic),
      whole(row.resolve),
    ]),
  }
}
