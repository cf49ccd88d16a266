import { connect } from 'nats'
import { arrivalsAtSink, arrivalsInStream, prepareStream } from './arrivals.mjs'
import { PEERS } from './peers.mjs'
import { startMosquitto, startNatsServer } from './servers.mjs'
import { freePorts, pause, Stage, until } from './stage.mjs'
import { cpuSeconds, peakMegabytes, rested } from './usage.mjs'

/** Milliseconds without an arrival after which the rest counts as lost. */
const IDLE_DEADLINE = 5000
/** Milliseconds a load or sink process has to answer. */
const ANSWER_WITHIN = 20_000
/** The part of the messages sent beforehand and not measured: caches are filled, code is compiled. */
const WARM_UP = 0.1

/**
 * @typedef {import('./stage.mjs').Actor} Actor
 * @typedef {import('./arrivals.mjs').Arrivals} Arrivals
 * @typedef {import('./scenarios.mjs').Scenario} Scenario
 * @typedef {import('./report.mjs').Figures} Figures
 * @typedef {keyof typeof PEERS} PeerName
 * @typedef {{
 *   messages: number, payload: number, outstanding: number, window: number, oneWay: boolean,
 * }} LoadOptions
 */

/**
 * One run: fresh servers, one peer, one scenario.
 *
 * @param {PeerName} peer
 * @param {Scenario} scenario
 * @param {LoadOptions} options
 * @param {import('./servers.mjs').Tools} tools
 * @returns {Promise<Figures>}
 */
export async function measure(peer, scenario, options, tools) {
  const stage = new Stage()
  try {
    const failed = new Promise((_, reject) =>
      stage.signal.addEventListener('abort', () => reject(stage.signal.reason)),
    )
    return await Promise.race([run(stage, peer, scenario, options, tools), failed])
  } finally {
    await stage.end()
  }
}

/**
 * @param {Stage} stage
 * @param {PeerName} peer
 * @param {Scenario} scenario
 * @param {LoadOptions} options
 * @param {import('./servers.mjs').Tools} tools
 */
async function run(stage, peer, scenario, options, tools) {
  const measured = await startMeasured(stage, peer, scenario, options, tools)
  const ends = await startEnds(stage, scenario, options, measured)
  const line = { ...ends, signal: stage.signal }
  await untilCrossing(line)

  const messages = Math.max(100, Math.round(options.messages * scenario.share(peer)))
  await carry(line, Math.round(messages * WARM_UP), scenario.rate)
  await rested(pids(measured))
  if (scenario.rate !== undefined) await takeLatencies(ends.sink)

  const everyone = { ...measured.actors, load: ends.load, sink: ends.sink }
  const before = cpuOf(everyone)
  const carried = await carry(line, messages, scenario.rate)
  await rested(pids(measured))
  const after = cpuOf(everyone)
  return figures({
    messages,
    received: ends.arrivals.count - carried.countBefore,
    seconds: carried.seconds,
    used: Object.fromEntries(Object.keys(before).map((name) => [name, after[name] - before[name]])),
    peakMegabytes: peakMegabytes((measured.actors.bridge ?? measured.actors.mosquitto).pid),
    latencies: scenario.rate === undefined ? [] : await takeLatencies(ends.sink),
  })
}

/**
 * Starts the servers and the peer between them.
 *
 * @param {Stage} stage
 * @param {PeerName} name
 * @param {Scenario} scenario
 * @param {LoadOptions} options
 * @param {import('./servers.mjs').Tools} tools
 */
async function startMeasured(stage, name, { qos, direction }, { oneWay }, tools) {
  const peer = PEERS[name]
  const [mqtt, nats, natsMqtt, http] = await freePorts(4)
  const ports = { mqtt, nats, natsMqtt, http }
  const context = {
    stage,
    ports,
    qos,
    direction: oneWay ? direction : /** @type {const} */ ('both'),
  }

  const natsServer = await startNatsServer(stage, tools, ports)
  const control = await connect({ servers: `127.0.0.1:${nats}`, reconnect: false })
  stage.signal.addEventListener('abort', () => control.close())
  const manager = await control.jetstreamManager()
  const isOurStream = peer.stream === 'BENCH'
  if (qos === 1 && isOurStream) await prepareStream(manager, peer.stream, stage.signal)
  const mosquitto = await startMosquitto(stage, tools, mqtt, peer.mosquittoLines(context))
  const bridge = await peer.start(context)
  if (qos === 1 && !isOurStream) await prepareStream(manager, peer.stream, stage.signal)
  return { actors: { bridge, mosquitto, natsServer }, ports, manager, stream: peer.stream }
}

/**
 * Starts load and sink. At QoS 1 the stream itself is the sink.
 *
 * @param {Stage} stage
 * @param {Scenario} scenario
 * @param {LoadOptions} options
 * @param {Awaited<ReturnType<typeof startMeasured>>} measured
 */
async function startEnds(stage, { direction, qos, rate }, options, { ports, manager, stream }) {
  const { payload, outstanding, window } = options
  const isToNats = direction === 'mqttToNats'
  const from = isToNats ? ports.mqtt : ports.nats
  const to = isToNats ? ports.nats : ports.mqtt
  const loadFile = isToNats ? '../load/mqtt-publisher.mjs' : '../load/nats-publisher.mjs'
  const sinkFile = isToNats ? '../sinks/nats-subscriber.mjs' : '../sinks/mqtt-subscriber.mjs'

  let sink
  if (qos === 0) {
    sink = stage.fork('sink', sinkFile, { port: to, isStamped: rate !== undefined })
    await answer(sink, 'ready')
  }
  const arrivals = sink ? arrivalsAtSink(sink) : arrivalsInStream(manager, stream, stage.signal)
  const load = stage.fork('load', loadFile, { port: from, qos, payload, outstanding, window })
  await answer(load, 'ready')
  arrivals.onChange = (received) => {
    if (load.child.connected) load.child.send({ received })
  }
  return { load, sink, arrivals }
}

/**
 * The next message of a child that has this field.
 *
 * @param {Actor} actor
 * @param {string} field
 * @returns {Promise<any>}
 */
function answer({ name, child }, field) {
  return new Promise((resolve, reject) => {
    const late = () => reject(new Error(`waiting for '${field}' of '${name}': no answer`))
    const timer = setTimeout(late, ANSWER_WITHIN)
    const listen = (/** @type {any} */ message) => {
      if (message[field] === undefined) return
      clearTimeout(timer)
      child.off('message', listen)
      resolve(message[field])
    }
    child.on('message', listen)
  })
}

/** @typedef {{ load: Actor, arrivals: Arrivals, signal: AbortSignal }} Line */

/**
 * Sends single messages until the way is open, then waits until no more of them arrive.
 *
 * @param {Line} line
 */
async function untilCrossing({ load, arrivals, signal }) {
  const attempt = async () => {
    load.child.send({ messages: 1, received: arrivals.count })
    await pause(300)
    return arrivals.count > 0 ? true : undefined
  }
  await until('a first message to cross', signal, attempt)
  let seen = -1
  await until('the first messages to end', signal, async () => {
    if (arrivals.count === seen) return true
    seen = arrivals.count
    await pause(500)
    return undefined
  })
}

/**
 * Sends `messages` and waits until they have arrived, or none does any more.
 *
 * @param {Line} line
 * @param {number} messages
 * @param {number | undefined} rate
 */
async function carry({ load, arrivals, signal }, messages, rate) {
  const countBefore = arrivals.count
  const started = answer(load, 'startedAt')
  load.child.send({ messages, rate, received: countBefore })
  const startedAt = await started

  let seen = countBefore
  let seenAt = performance.now()
  while (arrivals.count - countBefore < messages) {
    signal.throwIfAborted()
    if (arrivals.count !== seen) {
      seen = arrivals.count
      seenAt = performance.now()
    } else if (performance.now() - seenAt > IDLE_DEADLINE) break
    await pause(5)
  }
  return { countBefore, seconds: (arrivals.at - startedAt) / 1e6 }
}

/**
 * @param {Actor | undefined} sink
 * @returns {Promise<number[]>} microseconds, in order of size
 */
async function takeLatencies(sink) {
  if (sink === undefined) return []
  const taken = answer(sink, 'latencies')
  sink.child.send({ take: 'latencies' })
  return taken
}

/** @param {Awaited<ReturnType<typeof startMeasured>>} measured */
function pids({ actors }) {
  return Object.values(actors).flatMap((actor) => actor?.pid ?? [])
}

/**
 * @param {Record<string, Actor | undefined>} actors
 * @returns {Record<string, number>}
 */
function cpuOf(actors) {
  const used = Object.entries(actors).flatMap(([name, actor]) =>
    actor ? [[name, cpuSeconds(actor.pid)]] : [],
  )
  return Object.fromEntries(used)
}

/**
 * @param {{
 *   messages: number, received: number, seconds: number, used: Record<string, number>,
 *   peakMegabytes: number, latencies: number[],
 * }} run
 * @returns {Figures}
 */
function figures({ messages, received, seconds, used, peakMegabytes: peak, latencies }) {
  const perMillion = (/** @type {number | undefined} */ cpu) =>
    cpu === undefined ? undefined : (cpu * 1e6) / received
  const { bridge, mosquitto, natsServer, load, sink } = used
  return {
    messages,
    received,
    perSecond: received / seconds,
    cpu: {
      bridge: perMillion(bridge),
      mosquitto: perMillion(mosquitto),
      natsServer: perMillion(natsServer),
      total: perMillion((bridge ?? 0) + mosquitto + natsServer),
      load: perMillion(load),
      sink: perMillion(sink),
    },
    peakMegabytes: peak,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
  }
}

/**
 * @param {number[]} sorted microseconds
 * @param {number} part
 */
function quantile(sorted, part) {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]
  return value === undefined ? undefined : value / 1000
}
