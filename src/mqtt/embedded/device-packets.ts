import { isUtf8 } from 'node:buffer'
import { parser } from 'mqtt-packet'
import { bodyStart, malformed, PacketType } from '../frames.ts'

/** Lengths of acknowledgements and of packets without a body. */
const ACK_BYTES = 4
const EMPTY_BYTES = 2
export const SUBSCRIBE = 8
export const UNSUBSCRIBE = 10
export const PINGREQ = 12

/**
 * Looks at one whole packet of a device before the broker's parser does, which throws or mends where MQTT
 * 3.1.1 asks to close the connection.
 * @throws BridgeError PROTOCOL_ERROR saying what is wrong
 */
export function checkDevicePacket(packet: Buffer): void {
  const type = (packet[0] as number) >> 4
  switch (type) {
    case PacketType.publish:
      checkPublish(packet)
      break
    case PacketType.puback:
    case PacketType.pubrec:
    case PacketType.pubrel:
    case PacketType.pubcomp:
      checkAck(packet, type)
      break
    case PINGREQ:
    case PacketType.disconnect:
      if (packet.length === EMPTY_BYTES && packet[0] === type << 4) return
      throw malformed(`a packet of type ${type} that is not empty`)
    case PacketType.connect:
    case SUBSCRIBE:
    case UNSUBSCRIBE:
      checkByParsing(packet, type)
      break
    default:
      throw malformed(`a packet of type ${type} from a client`)
  }
}

function checkPublish(packet: Buffer): void {
  const flags = packet[0] as number
  const qos = (flags >> 1) & 3
  if (qos === 3) throw malformed('a PUBLISH with QoS 3') // [MQTT-3.3.1-4]
  const start = bodyStart(packet, 0)
  if (start + 2 > packet.length) throw malformed('a PUBLISH without a topic')
  const end = start + 2 + packet.readUInt16BE(start)
  if (end + (qos > 0 ? 2 : 0) > packet.length) {
    throw malformed('a PUBLISH whose topic runs over its end')
  }
  const topic = packet.subarray(start + 2, end)
  if (!isUtf8(topic) || topic.includes(0)) throw malformed('a topic that is not UTF-8') // [MQTT-1.5.3-1, -2]
  if (qos > 0 && packet.readUInt16BE(end) === 0) throw malformed('a PUBLISH with packet id 0') // [MQTT-2.3.1-1]
}

function checkAck(packet: Buffer, type: number): void {
  const flags = type === PacketType.pubrel ? 2 : 0 // [MQTT-3.6.1-1]
  if (packet.length !== ACK_BYTES || packet[0] !== ((type << 4) | flags)) {
    throw malformed(`an acknowledgement of type ${type} of wrong form`)
  }
}

/** The rare packets are simply parsed once more, where an exception does no harm. */
function checkByParsing(packet: Buffer, type: number): void {
  // [MQTT-3.8.3-3], [MQTT-3.10.3-2]
  if (packet.length <= ACK_BYTES) throw malformed(`a packet of type ${type} without a payload`)
  let parsed = false
  let failed: unknown
  const trial = parser()
  trial.on('packet', () => {
    parsed = true
  })
  trial.on('error', (error: unknown) => {
    failed = error
  })
  try {
    trial.parse(packet)
  } catch (thrown) {
    failed = thrown
  }
  if (failed === undefined && parsed) return
  const why = failed instanceof Error ? failed.message : 'it does not end'
  throw malformed(`a packet of type ${type} that cannot be read: ${why}`)
}
