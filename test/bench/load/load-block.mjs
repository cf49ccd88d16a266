import { publishPacket } from '../wire/mqtt-packets.mjs'
import { pubFrame } from '../wire/nats-frames.mjs'

/** Distinct names in the load; every program under test sees each of them many times. */
const NAMES = 1000

/**
 * Messages prebuilt in one run of bytes: message i ends at `ends[i]`, its packet id (QoS 1) lies at `ids[i]`.
 *
 * @typedef {{ bytes: Buffer, ends: number[], ids: number[] }} LoadBlock
 */

/** @param {number} size bytes */
function payloadOf(size) {
  return Buffer.alloc(size, 'bench payload ')
}

/** @param {number} i */
function levels(i) {
  return ['bench', `hall${i % 8}`, `sensor${i}`, 'value']
}

/**
 * @param {{ bytes: Buffer, idAt: number }[]} messages
 * @returns {LoadBlock}
 */
function blockOf(messages) {
  let end = 0
  const ends = []
  const ids = []
  for (const { bytes, idAt } of messages) {
    ids.push(end + idAt)
    end += bytes.length
    ends.push(end)
  }
  return { bytes: Buffer.concat(messages.map((message) => message.bytes)), ends, ids }
}

/**
 * @param {number} payload bytes
 * @param {0 | 1} qos
 */
export function mqttBlock(payload, qos) {
  const messages = Array.from({ length: NAMES }, (_, i) =>
    publishPacket(levels(i).join('/'), payloadOf(payload), qos),
  )
  return blockOf(messages)
}

/** @param {number} payload bytes */
export function natsBlock(payload) {
  const messages = Array.from({ length: NAMES }, (_, i) => ({
    bytes: pubFrame(levels(i).join('.'), payloadOf(payload)),
    idAt: 0,
  }))
  return blockOf(messages)
}
