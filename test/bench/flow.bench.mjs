// The message path between fake ends: what the bridge itself costs per message, without sockets.
const MESSAGES = 400_000
const MESSAGES_QUICK = 60_000
/** Bytes of one read, as a busy broker and moderation make them. */
const CHUNK = 48 * 1024
const TOPICS = 1000
const PAYLOAD = 100

/**
 * Nanoseconds and bytes of garbage per message, by direction and QoS.
 *
 * @param {{ runs: number, quick: boolean }} options
 * @returns {Promise<import('./main.mjs').PartResult>}
 */
export async function run({ runs, quick }) {
  const parts = await modules()
  const messages = quick ? MESSAGES_QUICK : MESSAGES
  const cases = [
    { name: 'MQTT → NATS, QoS 0', make: () => toNats(parts, 0) },
    { name: 'MQTT → NATS, QoS 1 confirmed', make: () => toNats(parts, 1) },
    { name: 'NATS → MQTT, QoS 0', make: () => toMqtt(parts, 0) },
    { name: 'NATS → MQTT, QoS 1', make: () => toMqtt(parts, 1) },
  ]
  const data = cases.map(({ name, make }) => {
    const figures = Array.from({ length: runs }, () => measure(make(), messages))
    return {
      name,
      ns: median(figures.map((figure) => figure.ns)),
      bytes: median(figures.map((figure) => figure.bytes)),
    }
  })
  const rows = data.map(({ name, ns, bytes }) => [name, ns.toFixed(0), bytes.toFixed(0)])
  return {
    tables: [
      {
        title: `Message path between fake ends, medians of ${runs} runs, ${PAYLOAD}-byte payloads, ${TOPICS} names`,
        columns: ['path', 'ns per message', 'bytes of heap per message'],
        rows,
      },
    ],
    data,
  }
}

/**
 * @typedef {{ feed: () => number }} Path one chunk through the path; returns how many messages it held
 * @param {Path} path
 * @param {number} messages
 */
function measure(path, messages) {
  for (let warm = 0; warm < messages / 4; ) warm += path.feed()
  globalThis.gc?.()
  const heap = process.memoryUsage().heapUsed
  const from = process.hrtime.bigint()
  let done = 0
  while (done < messages) done += path.feed()
  const ns = Number(process.hrtime.bigint() - from) / done
  const grown = process.memoryUsage().heapUsed - heap
  return { ns, bytes: Math.max(0, grown) / done }
}

/** A clock that never calls back: nothing here waits. */
const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: () => () => undefined,
  random: () => 0.5,
}
const silent = { note: () => undefined }

/** The whole way in: packets as a broker writes them, through the tap and the flow, to frames for NATS. */
function toNats(/** @type {any} */ parts, /** @type {number} */ qos) {
  const { MqttTap, MqttSource, NatsSink, MqttToNats, RouteBooks, Mode } = parts
  const chunk = joined(topics(), (topic) => publish(topic, qos), CHUNK)
  const channel = { write: () => true, writableLength: 0, resume() {}, end() {}, destroy() {} }
  const source = new MqttSource()
  const sink = new NatsSink('_INBOX.bench', 'bench')
  const books = new RouteBooks('#', 'mqttToNats')
  let pinged = -1
  sink.up = true
  sink.attach({
    write: () => true,
    blocked: false,
    ping: (/** @type {number} */ position) => {
      pinged = position
    },
  })
  const flow = new MqttToNats({
    inlet: source,
    outlet: sink,
    clock,
    drops: silent,
    onNoStream: () => 'settled',
    windowLimit: 8192,
    windowBytes: 64 * 1024 * 1024,
    planFor: (/** @type {string} */ topic) =>
      plan(books, topic.replaceAll('/', '.'), Mode.confirmed, qos, sink),
  })
  flow.onNatsUp()
  const host = {
    accepting: true,
    onMessage: (/** @type {any} */ view) => flow.onMessage(view),
    onBatchEnd: () => flow.onBatchEnd(),
    onAcknowledgementsEnd() {},
    onStopped() {},
  }
  const tap = new MqttTap(channel, host, {
    clock,
    maxPacketSize: 1 << 20,
    topicAliasMaximum: 0,
  })
  source.attach(tap)
  return {
    feed: () => {
      channel.onChunk(chunk.bytes)
      if (pinged >= 0) {
        const position = pinged
        pinged = -1
        flow.tracked.onPong(position)
        flow.onAnswersEnd()
      }
      return chunk.count
    },
  }
}

/** The whole way back: frames as a NATS server writes them, through scanner and flow, to packets for MQTT. */
function toMqtt(/** @type {any} */ parts, /** @type {number} */ qos) {
  const { FrameScanner, FrameSplitter, MessageView, HeaderReader, MqttSink, NatsToMqtt } = parts
  const { RouteBooks, Mode } = parts
  const chunk = joined(topics(), (topic) => message(topic), CHUNK)
  const sink = new MqttSink()
  const books = new RouteBooks('#', 'natsToMqtt')
  sink.up = true
  sink.v5 = true
  sink.attach({ send() {}, blocked: false })
  const flow = new NatsToMqtt({
    inlet: { settled() {}, refill() {}, hold() {} },
    outlet: sink,
    clock,
    drops: silent,
    windowLimit: 8192,
    windowBytes: 64 * 1024 * 1024,
    planFor: (/** @type {string} */ subject) =>
      plan(books, subject.replaceAll('.', '/'), Mode.live, qos, sink),
  })
  flow.onMqttUp(65_535)
  const view = new MessageView()
  const scanner = new FrameScanner(view, () => 1 << 20)
  const headers = new HeaderReader('bench')
  const splitter = new FrameSplitter({
    maxFrame: Number.POSITIVE_INFINITY,
    headBytes: 0,
    frameLength: (/** @type {Buffer} */ b, /** @type {number} */ at, /** @type {number} */ end) =>
      scanner.measure(b, at, end),
    headStep: () => 1,
    takes: () => true,
    onFrame: () => {
      headers.read(view)
      flow.onLive(view, 1)
      return true
    },
    onOversize: () => true,
  })
  return {
    feed: () => {
      splitter.feed(chunk.bytes)
      flow.onBatchEnd()
      const { window } = flow.tracked
      for (let at = window.head; at < window.tail; at++) {
        flow.tracked.onAcknowledged(at & window.mask, undefined)
      }
      flow.onAcknowledgementsEnd()
      return chunk.count
    },
  }
}

/**
 * @param {any} books
 * @param {string} address
 * @param {number} mode
 * @param {number} qos
 * @param {any} sink
 */
function plan(books, address, mode, qos, sink) {
  return {
    books,
    route: 0,
    target: sink.prepare(address),
    address,
    refusal: undefined,
    text: '',
    mode,
    qos,
    retain: 'keep',
    owner: 0,
  }
}

function topics() {
  return Array.from({ length: TOPICS }, (_, i) => `bench/site${i % 10}/device${i}/temperature`)
}

/**
 * @param {readonly string[]} names
 * @param {(name: string) => Buffer} make
 * @param {number} size
 */
function joined(names, make, size) {
  /** @type {Buffer[]} */
  const pieces = []
  let bytes = 0
  for (let i = 0; bytes < size; i++) {
    const piece = make(/** @type {string} */ (names[i % names.length]))
    pieces.push(piece)
    bytes += piece.length
  }
  return { bytes: Buffer.concat(pieces), count: pieces.length }
}

/** A PUBLISH of MQTT 3.1.1; the packet id does not matter to the path. */
function publish(/** @type {string} */ topic, /** @type {number} */ qos) {
  const name = Buffer.from(topic)
  const body = 2 + name.length + (qos > 0 ? 2 : 0) + PAYLOAD
  const header = Buffer.from([0x30 | (qos << 1), (body & 0x7f) | 0x80, body >> 7])
  const length = Buffer.from([name.length >> 8, name.length & 0xff])
  const id = qos > 0 ? Buffer.from([1, 1]) : Buffer.alloc(0)
  return Buffer.concat([header, length, name, id, Buffer.alloc(PAYLOAD, 120)])
}

function message(/** @type {string} */ topic) {
  const line = `MSG ${topic.replaceAll('/', '.')} 1000001 ${PAYLOAD}\r\n`
  return Buffer.concat([Buffer.from(line), Buffer.alloc(PAYLOAD, 120), Buffer.from('\r\n')])
}

async function modules() {
  const paths = [
    'mqtt/tap.js',
    'mqtt/source.js',
    'mqtt/sink.js',
    'nats/sink.js',
    'nats/frames.js',
    'nats/headers.js',
    'core/frame-splitter.js',
    'core/message-view.js',
    'core/books.js',
    'delivery/mqtt-to-nats.js',
    'delivery/nats-to-mqtt.js',
    'delivery/plans.js',
  ]
  const loaded = await Promise.all(paths.map((path) => import(`../../dist/${path}`)))
  return Object.assign({}, ...loaded)
}

/** @param {number[]} values */
function median(values) {
  return /** @type {number} */ (values.sort((a, b) => a - b)[values.length >> 1])
}
