// Load on the MQTT side: a raw socket that publishes prebuilt packets, or one message per tick with
// the time in it. Run as a child with an IPC channel; the one argument is JSON (LoadConfig).
import net from 'node:net'
import { microseconds } from '../wire/clock.mjs'
import { connectPacket, publishPacket } from '../wire/mqtt-packets.mjs'
import { mqttBlock } from './load-block.mjs'
import { Pump } from './pump.mjs'

/** @typedef {{ port: number, qos: 0 | 1, payload: number, outstanding: number, window: number }} LoadConfig */

/** @type {LoadConfig} */
const config = JSON.parse(process.argv[2])
const CONNACK_LENGTH = 4
const PUBACK_LENGTH = 4
const STAMP_DIGITS = 16

const socket = net.connect(config.port, '127.0.0.1')
socket.setNoDelay(true)
socket.write(connectPacket('bench-load'))

const pump = new Pump({
  socket,
  block: mqttBlock(config.payload, config.qos),
  outstanding: config.outstanding,
  window: config.qos === 0 ? Number.MAX_SAFE_INTEGER : config.window,
})

// A connection that only publishes gets CONNACK and then nothing but PUBACKs, all of one length.
let bytesRead = 0
let acks = 0
socket.on('data', (chunk) => {
  if (bytesRead === 0) connected(chunk)
  bytesRead += chunk.length
  const acksNow = Math.floor((bytesRead - CONNACK_LENGTH) / PUBACK_LENGTH)
  pump.acknowledged(acksNow - acks)
  acks = acksNow
})

/** @param {Buffer} connack */
function connected(connack) {
  if (connack.length < CONNACK_LENGTH || connack[0] !== 0x20 || connack[3] !== 0)
    throw new Error('connecting the load: refused')
  process.send?.({ ready: true })
}

/**
 * Publishes stamped messages at a steady rate. The stamp is taken at the write, so that a late tick
 * of this process is not counted as latency.
 *
 * @param {number} messages
 * @param {number} rate per second
 */
function sendSteadily(messages, rate) {
  const startedAt = microseconds()
  const padding = 'x'.repeat(Math.max(0, config.payload - STAMP_DIGITS))
  let sent = 0
  const tick = () => {
    const due = Math.min(messages, ((microseconds() - startedAt) * rate) / 1e6)
    while (sent < due) {
      const payload = Buffer.from(String(microseconds()).padStart(STAMP_DIGITS, '0') + padding)
      socket.write(publishPacket(`bench/hall/sensor${sent % 100}/value`, payload, config.qos).bytes)
      sent++
    }
    if (sent < messages) setTimeout(tick, 1)
  }
  tick()
  return startedAt
}

process.on('message', (/** @type {any} */ order) => {
  if (order.rate) process.send?.({ startedAt: sendSteadily(order.messages, order.rate) })
  else if (order.messages) process.send?.({ startedAt: pump.send(order.messages, order.received) })
  else pump.received(order.received)
})
process.on('disconnect', () => process.exit())
socket.on('close', () => process.exit(1))
