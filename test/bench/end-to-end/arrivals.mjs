import { microseconds } from '../wire/clock.mjs'
import { pause, until } from './stage.mjs'

/** Milliseconds between two looks at a stream. */
const LOOK_EVERY = 20

/** How many messages have arrived at the far end so far, and when the last of them did. */
export class Arrivals {
  count = 0
  /** Microseconds of the monotonic clock. */
  at = 0
  /** @type {(count: number) => void} */
  onChange = () => undefined

  /**
   * @param {number} count
   * @param {number} at
   */
  update(count, at) {
    if (count === this.count) return
    this.count = count
    this.at = at
    this.onChange(count)
  }
}

/**
 * Follows the reports of a sink process.
 *
 * @param {import('./stage.mjs').Actor} sink
 */
export function arrivalsAtSink(sink) {
  const arrivals = new Arrivals()
  sink.child.on('message', (/** @type {any} */ report) => {
    if (report.count !== undefined) arrivals.update(report.count, report.at)
  })
  return arrivals
}

/**
 * Follows the number of messages a stream holds: at QoS 1 a message has arrived when it is stored.
 *
 * @param {import('nats').JetStreamManager} manager
 * @param {string} stream
 * @param {AbortSignal} signal ends it
 */
export function arrivalsInStream(manager, stream, signal) {
  const arrivals = new Arrivals()
  const look = async () => {
    while (!signal.aborted) {
      const { state } = await manager.streams.info(stream)
      arrivals.update(state.messages, microseconds())
      await pause(LOOK_EVERY)
    }
  }
  look().catch((error) => {
    if (!signal.aborted) process.stderr.write(`looking at stream '${stream}': ${error}\n`)
  })
  return arrivals
}

/**
 * Makes the stream that QoS 1 messages are stored in, or sees to it that the one of nats-server's
 * MQTT listener stores them.
 *
 * That one, `$MQTT_msgs`, keeps a message only while a consumer waits for it; without one it answers
 * the PUBLISH and stores nothing, which would compare one write against none. So it gets one consumer
 * that never fetches. With it each program writes every message to one file stream, once, before it is
 * acknowledged. A second stream over `bench.>` would be the other way to have the messages kept, but
 * makes nats-server write each twice for Mosquitto's bridge alone.
 *
 * @param {import('nats').JetStreamManager} manager
 * @param {string} stream
 * @param {AbortSignal} signal
 */
export async function prepareStream(manager, stream, signal) {
  if (stream !== '$MQTT_msgs') {
    await manager.streams.add({ name: stream, subjects: ['bench.>'] })
    return
  }
  // nats-server makes its streams when the first MQTT client connects.
  await until(`stream ${stream}`, signal, () => manager.streams.info(stream).catch(() => undefined))
  await manager.consumers.add(stream, {
    durable_name: 'bench-keeps',
    filter_subject: '$MQTT.msgs.bench.>',
  })
}
