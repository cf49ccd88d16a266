import { lengthBytes, PacketType, writeAck, writeHeader } from '../frames.ts'
import type { BrokerPacket } from './store.ts'

/** A PUBLISH packet [MQTT-3.3]; `id` counts for QoS ≥ 1 only. */
export function publishFrame(packet: BrokerPacket, qos: number, id: number, dup: boolean): Buffer {
  const payload = packet.payload as Buffer
  const topicBytes = Buffer.byteLength(packet.topic)
  const body = 2 + topicBytes + (qos > 0 ? 2 : 0) + payload.length
  const frame = Buffer.allocUnsafe(1 + lengthBytes(body) + body)
  const flags = (dup && qos > 0 ? 8 : 0) | (qos << 1) | (packet.retain ? 1 : 0)
  let at = writeHeader(frame, 0, (PacketType.publish << 4) | flags, body)
  at = frame.writeUInt16BE(topicBytes, at)
  at += frame.write(packet.topic, at)
  if (qos > 0) at = frame.writeUInt16BE(id, at)
  frame.set(payload, at)
  return frame
}

/** A PUBACK, PUBREC, PUBREL or PUBCOMP packet. */
export function ackFrame(type: number, id: number): Buffer {
  const frame = Buffer.allocUnsafe(4)
  writeAck(frame, 0, type, id)
  return frame
}
