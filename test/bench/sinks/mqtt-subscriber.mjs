// Sink on the MQTT side: a raw socket that counts PUBLISH packets. Run as a child with an IPC
// channel; the one argument is JSON (see SinkConfig of nats-subscriber.mjs).
import net from 'node:net'
import { connectPacket, PublishCounter, subscribePacket } from '../wire/mqtt-packets.mjs'
import { Tally } from './tally.mjs'

/** @type {import('./nats-subscriber.mjs').SinkConfig} */
const config = JSON.parse(process.argv[2])

// A broker writes packet by packet. Reading after a short rest takes many at once, so that this
// sink leaves the cores to what is measured.
const REST = 1

const tally = new Tally()
const counter = new PublishCounter()
let isReady = false

const socket = net.connect({
  port: config.port,
  host: '127.0.0.1',
  onread: {
    buffer: Buffer.allocUnsafe(256 * 1024),
    callback: (length, buffer) => {
      counter.scan(/** @type {Buffer} */ (buffer).subarray(0, length))
      tally.set(counter.count)
      if (!isReady) process.send?.({ ready: true })
      isReady = true
      setTimeout(() => socket.resume(), REST)
      return false
    },
  },
})
socket.setNoDelay(true)
socket.write(Buffer.concat([connectPacket('bench-sink'), subscribePacket('bench/#')]))

process.on('disconnect', () => process.exit())
socket.on('close', () => process.exit(1))
