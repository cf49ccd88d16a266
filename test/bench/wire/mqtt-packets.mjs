// The few MQTT 3.1.1 packets that load and sinks need, built and read by hand, so that neither end
// of a measurement runs the library of a program under test.

const PUBLISH = 3

/** @param {string} text */
function utf8String(text) {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])
}

/**
 * @param {number} firstByte packet type and flags
 * @param {Buffer[]} parts
 */
function packet(firstByte, parts) {
  const body = Buffer.concat(parts)
  const header = [firstByte]
  let left = body.length
  do {
    const septet = left & 0x7f
    left >>= 7
    header.push(left > 0 ? septet | 0x80 : septet)
  } while (left > 0)
  return Buffer.concat([Buffer.from(header), body])
}

/**
 * A CONNECT with a clean session and without keepalive.
 *
 * @param {string} clientId
 */
export function connectPacket(clientId) {
  const cleanSession = 0x02
  return packet(0x10, [
    utf8String('MQTT'),
    Buffer.from([4, cleanSession, 0, 0]),
    utf8String(clientId),
  ])
}

/**
 * A SUBSCRIBE at QoS 0, packet id 1.
 *
 * @param {string} filter
 */
export function subscribePacket(filter) {
  return packet(0x82, [Buffer.from([0, 1]), utf8String(filter), Buffer.from([0])])
}

/**
 * A PUBLISH and the place of its packet id (-1 at QoS 0).
 *
 * @param {string} topic
 * @param {Buffer} payload
 * @param {0 | 1} qos
 */
export function publishPacket(topic, payload, qos) {
  const id = Buffer.alloc(qos === 0 ? 0 : 2)
  const bytes = packet(0x30 | (qos << 1), [utf8String(topic), id, payload])
  return { bytes, idAt: qos === 0 ? -1 : bytes.length - payload.length - 2 }
}

/** Counts the PUBLISH packets of a byte stream cut anywhere. */
export class PublishCounter {
  /** @type {Buffer} */
  #rest = Buffer.alloc(0)
  count = 0

  /** @param {Buffer} chunk */
  scan(chunk) {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    let at = 0
    for (;;) {
      const end = endOfPacket(bytes, at)
      if (end < 0) break
      if (bytes[at] >> 4 === PUBLISH) this.count++
      at = end
    }
    this.#rest = Buffer.from(bytes.subarray(at))
  }
}

/**
 * Where the packet that begins at `start` ends; -1 when it is not whole yet.
 *
 * @param {Buffer} bytes
 * @param {number} start
 */
function endOfPacket(bytes, start) {
  let length = 0
  let shift = 0
  for (let at = start + 1; at < bytes.length; at++) {
    length |= (bytes[at] & 0x7f) << shift
    shift += 7
    if (bytes[at] < 0x80) {
      const end = at + 1 + length
      return end <= bytes.length ? end : -1
    }
  }
  return -1
}
