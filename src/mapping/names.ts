import type { DropReason } from '../core/books.ts'

/** The reasons for which a name goes nowhere. */
export type NameReason = Extract<DropReason, 'noRoute' | 'unmappable' | 'reserved'>

/** Why a name cannot cross. The text does not repeat the name, which may be long or unprintable. */
export interface Refusal {
  readonly reason: NameReason
  readonly text: string
}

/** Longest MQTT topic, bytes of UTF-8: its length is sent in two bytes [MQTT-1.5.4]. */
export const MAX_TOPIC_BYTES = 65_535

/**
 * Longest subject to publish on, bytes. A server closes the connection on a control line over 4096 bytes
 * (`max_control_line`); the rest of the line is the reply subject, the two sizes and spaces.
 */
export const MAX_SUBJECT_BYTES = 4096 - 128

/**
 * First tokens of subjects that steer NATS or the bridge itself: MQTT sessions of the server, JetStream, the
 * system account, key-value and object stores, replies to requests, and the bridge's own streams. A device
 * that could write there could impersonate a server or a waiting requester.
 */
export const RESERVED_TOKENS: readonly string[] = [
  '$MQTT',
  '$JS',
  '$SYS',
  '$KV',
  '$O',
  '_INBOX',
  '$MQTTNATS',
]

const reserved = new Set(RESERVED_TOKENS)

/** True for a subject, in wire form, that the bridge never publishes to and never takes. */
export function isReserved(subject: string): boolean {
  const first = subject.charCodeAt(0)
  if (first !== 0x24 && first !== 0x5f) return false
  const end = subject.indexOf('.')
  return reserved.has(end < 0 ? subject : subject.slice(0, end))
}

/** Whether an MQTT topic can be mapped at all: what the standard forbids a topic to be. */
export function checkTopic(topic: string): Refusal | undefined {
  if (topic === '') return unmappable('the topic is empty')
  for (const wildcard of ['+', '#']) {
    if (topic.includes(wildcard)) {
      return unmappable(`the topic holds '${wildcard}', which belongs to filters`)
    }
  }
  return isIntact(topic) ? undefined : unmappable('the name is not valid UTF-8')
}

/**
 * Whether a topic may be sent to a broker: {@link checkTopic}, its length, and the characters on which
 * brokers close the connection (control characters and Unicode non-characters, [MQTT-1.5.4-2] and §1.5.4).
 */
export function checkPublishTopic(topic: string): Refusal | undefined {
  const refusal = checkTopic(topic)
  if (refusal !== undefined) return refusal
  const character = findUnsafe(topic)
  if (character !== undefined) {
    return unmappable(`the topic would hold ${character}, on which brokers close the connection`)
  }
  if (isLonger(topic, MAX_TOPIC_BYTES)) {
    return unmappable(`the topic is longer than ${MAX_TOPIC_BYTES} bytes`)
  }
  return undefined
}

/**
 * Whether a subject may be published to: not reserved, legal (no white space, no empty token) and short
 * enough. `*` and `>` are no obstacle: a publish takes them literally.
 * @param maxBytes what the control line of the server leaves for the subject
 */
export function checkSubject(subject: string, maxBytes = MAX_SUBJECT_BYTES): Refusal | undefined {
  if (isReserved(subject)) {
    return {
      reason: 'reserved',
      text: 'the subject lies in a space reserved by NATS or the bridge',
    }
  }
  if (subject === '') return unmappable('the subject is empty')
  if (isLonger(subject, maxBytes)) {
    return unmappable(`the subject is longer than ${maxBytes} bytes`)
  }
  let previous = 0x2e
  for (let i = 0; i < subject.length; i++) {
    const code = subject.charCodeAt(i)
    if (code === 0x2e && previous === 0x2e) return unmappable('the subject has an empty token')
    if (code <= 0x20 && ' \t\n\f\r\0'.includes(subject.charAt(i))) {
      return unmappable('the subject holds white space')
    }
    previous = code
  }
  return previous === 0x2e ? unmappable('the subject has an empty token') : undefined
}

const UNSAFE = /[\p{Cc}\p{Noncharacter_Code_Point}]/u
const BROKEN = /[\p{Cs}\ufffd]/u

/** The first character on which brokers close the connection, as `U+0007`; `undefined` when there is none. */
export function findUnsafe(text: string): string | undefined {
  const digits = UNSAFE.exec(text)?.[0].codePointAt(0)?.toString(16)
  return digits === undefined ? undefined : `U+${digits.toUpperCase().padStart(4, '0')}`
}

/**
 * False for a text with half a surrogate pair, or with U+FFFD, which decoding leaves where bytes were not
 * UTF-8: two different broken names would look the same, so neither is mapped.
 */
export function isIntact(text: string): boolean {
  return !BROKEN.test(text)
}

/** True when the text needs more than `maxBytes` in UTF-8; counts only when it could. */
export function isLonger(text: string, maxBytes: number): boolean {
  return text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes
}

function unmappable(text: string): Refusal {
  return { reason: 'unmappable', text }
}
