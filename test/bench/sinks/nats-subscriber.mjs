// Sink on the NATS side: a raw socket that counts messages, and, asked for it, their latency from
// the stamp in the payload. Run as a child with an IPC channel; the one argument is JSON (SinkConfig).
import net from 'node:net'
import { microseconds } from '../wire/clock.mjs'
import { CONNECT_LINE, ServerFrames } from '../wire/nats-frames.mjs'
import { Tally } from './tally.mjs'

/** @typedef {{ port: number, isStamped: boolean }} SinkConfig */

/** @type {SinkConfig} */
const config = JSON.parse(process.argv[2])
const STAMP_DIGITS = 16
// When only the count matters, reading after a short rest takes many messages at once and leaves the
// cores to what is measured.
const REST = 1

const tally = new Tally()
let count = 0
/** @type {number[]} microseconds */
let latencies = []

const frames = new ServerFrames(
  (bytes, start, end) => {
    count++
    if (config.isStamped && end - start >= STAMP_DIGITS) {
      const sentAt = Number(bytes.toString('latin1', start, start + STAMP_DIGITS))
      if (sentAt > 0) latencies.push(microseconds() - sentAt)
    }
  },
  (line) => {
    if (line === 'PING') socket.write('PONG\r\n')
    else if (line === 'PONG') process.send?.({ ready: true })
    else throw new Error(`subscribing the sink: '${line}'`)
  },
)

const socket = net.connect({
  port: config.port,
  host: '127.0.0.1',
  onread: {
    buffer: Buffer.allocUnsafe(256 * 1024),
    callback: (length, buffer) => {
      frames.scan(/** @type {Buffer} */ (buffer).subarray(0, length))
      tally.set(count)
      if (config.isStamped) return true
      setTimeout(() => socket.resume(), REST)
      return false
    },
  },
})
socket.setNoDelay(true)
socket.write(`${CONNECT_LINE}SUB bench.> 1\r\nPING\r\n`)

/** Answers with the latencies since the last call, in order of size, and forgets them. */
function takeLatencies() {
  const taken = latencies.sort((a, b) => a - b)
  latencies = []
  return taken
}

process.on('message', () => process.send?.({ latencies: takeLatencies() }))
process.on('disconnect', () => process.exit())
socket.on('close', () => process.exit(1))
