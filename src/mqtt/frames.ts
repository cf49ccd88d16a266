import { BridgeError } from '../core/errors.ts'
import type { MessageView } from '../core/message-view.ts'

/** MQTT control packet types [MQTT-2.1.2], as the high nibble of the first byte. */
export const PacketType = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  disconnect: 14,
} as const

/** Largest packet that is not a PUBLISH; brokers send none near it, a hostile peer might. */
const MAX_CONTROL_BYTES = 256 * 1024

/**
 * Length of the packet that begins at `at`, header included; 0 when the remaining length is not there yet.
 * @throws BridgeError PROTOCOL_ERROR for a remaining length of more than four bytes [MQTT-2.1.4] or a
 *   control packet beyond reason
 */
export function packetLength(buffer: Buffer, at: number, end: number): number {
  let length = 0
  let factor = 1
  for (let i = at + 1; i < end; i++) {
    const byte = buffer[i] as number
    length += (byte & 0x7f) * factor
    if (byte < 0x80) return checked(buffer, at, i + 1 - at + length)
    factor *= 128
    if (i - at === 4) throw malformed('a remaining length of more than four bytes')
  }
  return 0
}

function checked(buffer: Buffer, at: number, length: number): number {
  const type = (buffer[at] as number) >> 4
  if (type === PacketType.publish || length <= MAX_CONTROL_BYTES) return length
  throw malformed(`a packet of type ${type} with ${length} bytes`)
}

/** Where the body of the packet at `at` begins. */
export function bodyStart(buffer: Buffer, at: number): number {
  let i = at + 1
  while ((buffer[i] as number) >= 0x80) i++
  return i + 1
}

/** What a PUBLISH may carry besides what {@link MessageView} holds. */
export interface PublishExtras {
  /** Topic Alias property, 0 = none. */
  topicAlias: number
}

/**
 * Reads the PUBLISH packet from `at` to `end` into the view [MQTT-3.3]. Of a packet cut off at `end` (an
 * oversize one) the payload range is meaningless.
 * @param v5 whether the connection speaks MQTT 5, so that properties follow the variable header
 * @throws BridgeError PROTOCOL_ERROR
 */
export function readPublish(
  buffer: Buffer,
  at: number,
  end: number,
  v5: boolean,
  view: MessageView,
  extras: PublishExtras,
): void {
  const flags = buffer[at] as number
  const qos = (flags >> 1) & 3
  if (qos === 3) throw malformed('a PUBLISH with QoS 3') // [MQTT-3.3.1-4]
  const start = bodyStart(buffer, at)
  if (start + 2 > end) throw malformed('a PUBLISH without a topic')
  let next = start + 2 + (((buffer[start] as number) << 8) | (buffer[start + 1] as number))
  view.buffer = buffer
  view.nameStart = start + 2
  view.nameEnd = next
  view.qos = qos
  view.retain = (flags & 1) === 1
  view.dup = (flags & 8) === 8
  view.packetId = 0
  view.subscription = 0
  if (qos > 0) {
    view.packetId = ((buffer[next] as number) << 8) | (buffer[next + 1] as number)
    next += 2
  }
  if (next > end) throw malformed('a PUBLISH whose topic runs over its end')
  if (qos > 0 && view.packetId === 0) throw malformed('a PUBLISH with packet id 0') // [MQTT-2.2.1-3]
  extras.topicAlias = 0
  if (v5) next = readProperties(buffer, next, end, view, extras)
  else view.headStart = view.headEnd = next
  view.payloadStart = next
  view.payloadEnd = end
}

/** Reads the property block that begins with its length at `at`; returns where the payload begins. */
function readProperties(
  buffer: Buffer,
  at: number,
  end: number,
  view: MessageView,
  extras: PublishExtras,
): number {
  if (at < end && buffer[at] === 0) {
    view.headStart = view.headEnd = at + 1
    return at + 1
  }
  let length = 0
  let factor = 1
  let i = at
  for (;;) {
    if (i >= end || i - at === 4) throw malformed('a property length that does not end')
    const byte = buffer[i++] as number
    length += (byte & 0x7f) * factor
    if (byte < 0x80) break
    factor *= 128
  }
  const stop = i + length
  if (stop > end) throw malformed('properties that run over the end of the packet')
  view.headStart = i
  view.headEnd = stop
  scanProperties(buffer, i, stop, view, extras)
  return stop
}

/** Lengths of the values of the properties a PUBLISH may carry [MQTT-3.3.2.3]; 0 = a string follows, -1 = two. */
const PROPERTY_SIZE: Readonly<Record<number, number>> = {
  1: 1, // payload format indicator
  2: 4, // message expiry interval
  3: 0, // content type
  8: 0, // response topic
  9: 0, // correlation data
  35: 2, // topic alias
  38: -1, // user property
}
const SUBSCRIPTION_IDENTIFIER = 11
const TOPIC_ALIAS = 35

function scanProperties(
  buffer: Buffer,
  from: number,
  stop: number,
  view: MessageView,
  extras: PublishExtras,
): void {
  let i = from
  while (i < stop) {
    const id = buffer[i++] as number
    if (id === SUBSCRIPTION_IDENTIFIER) {
      const { value, next } = variableInteger(buffer, i, stop)
      // the lowest stands for the copy when a broker merges copies into one with several identifiers
      if (view.subscription === 0 || value < view.subscription) view.subscription = value
      i = next
      continue
    }
    const size = PROPERTY_SIZE[id]
    if (size === undefined) throw malformed(`a PUBLISH with property ${id}`)
    if (id === TOPIC_ALIAS) extras.topicAlias = twoBytes(buffer, i)
    i = size > 0 ? i + size : skipStrings(buffer, i, size)
  }
  if (i !== stop) throw malformed('a property that runs over the end of its block')
}

function skipStrings(buffer: Buffer, at: number, size: number): number {
  const next = at + 2 + twoBytes(buffer, at)
  return size === 0 ? next : next + 2 + twoBytes(buffer, next)
}

function twoBytes(buffer: Buffer, at: number): number {
  return ((buffer[at] ?? 0) << 8) | (buffer[at + 1] ?? 0)
}

function variableInteger(
  buffer: Buffer,
  at: number,
  stop: number,
): { value: number; next: number } {
  let value = 0
  let factor = 1
  for (let i = at; i < stop && i - at < 4; i++) {
    const byte = buffer[i] as number
    value += (byte & 0x7f) * factor
    if (byte < 0x80) return { value, next: i + 1 }
    factor *= 128
  }
  throw malformed('a variable byte integer that does not end')
}

/** Bytes the remaining-length field of a packet with this body takes. */
export function lengthBytes(body: number): number {
  if (body < 128) return 1
  if (body < 16_384) return 2
  return body < 2_097_152 ? 3 : 4
}

/** Largest body a packet can have [MQTT-2.1.4]. */
export const MAX_BODY = 268_435_455

/** Writes first byte and remaining length; returns where the body begins. */
export function writeHeader(out: Buffer, at: number, first: number, body: number): number {
  out[at] = first
  let i = at + 1
  let rest = body
  while (rest >= 128) {
    out[i++] = (rest & 0x7f) | 0x80
    rest = Math.floor(rest / 128)
  }
  out[i++] = rest
  return i
}

/** Writes an acknowledgement without reason code: PUBACK, PUBREC, PUBREL or PUBCOMP; four bytes. */
export function writeAck(out: Buffer, at: number, type: number, packetId: number): number {
  // PUBREL carries flags 0010 [MQTT-3.6.1-1]
  out[at] = (type << 4) | (type === PacketType.pubrel ? 2 : 0)
  out[at + 1] = 2
  out[at + 2] = packetId >> 8
  out[at + 3] = packetId & 0xff
  return at + 4
}

export function malformed(what: string): BridgeError {
  return new BridgeError(`reading from the MQTT peer: ${what}`, { code: 'PROTOCOL_ERROR' })
}
