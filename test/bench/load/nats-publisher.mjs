// Load on the NATS side: a raw socket that publishes prebuilt frames. Run as a child with an IPC
// channel; the one argument is JSON (see LoadConfig of mqtt-publisher.mjs).
import net from 'node:net'
import { CONNECT_LINE, ServerFrames } from '../wire/nats-frames.mjs'
import { natsBlock } from './load-block.mjs'
import { Pump } from './pump.mjs'

/** @type {import('./mqtt-publisher.mjs').LoadConfig} */
const config = JSON.parse(process.argv[2])

const socket = net.connect(config.port, '127.0.0.1')
socket.setNoDelay(true)
const pump = new Pump({
  socket,
  block: natsBlock(config.payload),
  outstanding: config.outstanding,
  window: Number.MAX_SAFE_INTEGER,
})

const frames = new ServerFrames(
  () => undefined,
  (line) => {
    if (line === 'PING') socket.write('PONG\r\n')
    else if (line !== 'PONG') throw new Error(`publishing the load: '${line}'`)
  },
)
socket.once('data', () => {
  socket.write(CONNECT_LINE)
  process.send?.({ ready: true })
})
socket.on('data', (chunk) => frames.scan(chunk))

process.on('message', (/** @type {any} */ order) => {
  if (order.messages) process.send?.({ startedAt: pump.send(order.messages, order.received) })
  else pump.received(order.received)
})
process.on('disconnect', () => process.exit())
socket.on('close', () => process.exit(1))
