import { FrameBuffer } from '../core/frame-buffer.ts'
import type { Outlet, Refusal } from '../core/lanes.ts'
import type { MessageView } from '../core/message-view.ts'
import { digits, writeLineEnd, writeNumber } from './frames.ts'
import type { NatsTap } from './tap.ts'

/** What the sink prepared for one subject: the beginning of its publish command. */
export interface NatsTarget {
  /** `HPUB subject ` */
  readonly plain: Buffer
  /** `HPUB subject inbox.`, the slot number follows */
  readonly answered: Buffer
}

/** Room for numbers, spaces and line ends beside prefix, headers and payload. */
const SLACK = 64

/** Longest control line nats-server accepts unless told otherwise (`max_control_line`), bytes. */
export const MAX_CONTROL_LINE = 4096

/**
 * Publishes to NATS: one HPUB per message with headers built beforehand. What must be answered carries a
 * reply subject that ends in the message's number in the window, so the stream's acknowledgement names it.
 */
export class NatsSink implements Outlet<NatsTarget> {
  readonly frames = new FrameBuffer()
  frameStart = 0
  up = false
  /** max_payload of the server, bytes. */
  serverMaxPayload = 1024 * 1024
  readonly #inbox: string
  /** Header blocks by QoS and retain flag. */
  readonly #heads: readonly Buffer[]
  #tap: NatsTap | undefined

  /**
   * @param inbox subject prefix of our own for answers, without the last dot
   * @param origin name of this bridge: what carries it is never taken back
   */
  constructor(inbox: string, origin: string) {
    this.#inbox = inbox
    this.#heads = [0, 1, 2].flatMap((qos) => [head(origin, qos, false), head(origin, qos, true)])
  }

  /** Subject to subscribe to for answers. */
  get answers(): string {
    return `${this.#inbox}.*`
  }

  get maxPayload(): number {
    // the server counts headers in max_payload; the retained block is the largest
    return this.serverMaxPayload - (this.#heads[5] as Buffer).length
  }

  get blocked(): boolean {
    return this.#tap?.blocked ?? false
  }

  /** A new connection took the place of the old one; `undefined` when there is none. */
  attach(tap: NatsTap | undefined): void {
    this.#tap = tap
  }

  prepare(subject: string): NatsTarget {
    const start = `HPUB ${subject} `
    return { plain: Buffer.from(start), answered: Buffer.from(`${start}${this.#inbox}.`) }
  }

  encode(view: MessageView, target: NatsTarget, slot: number, qos: number): void {
    const headers = this.#heads[qos * 2 + (view.retain ? 1 : 0)] as Buffer
    const prefix = slot < 0 ? target.plain : target.answered
    const payload = view.payloadEnd - view.payloadStart
    const frames = this.frames
    frames.reserve(prefix.length + headers.length + payload + SLACK)
    const out = frames.buffer
    let at = frames.at
    this.frameStart = at
    at += prefix.copy(out, at)
    if (slot >= 0) {
      at = writeNumber(out, at, slot)
      out[at++] = 32
    }
    at = writeNumber(out, at, headers.length)
    out[at++] = 32
    at = writeLineEnd(out, writeNumber(out, at, headers.length + payload))
    at += headers.copy(out, at)
    at += view.buffer.copy(out, at, view.payloadStart, view.payloadEnd)
    frames.at = writeLineEnd(out, at)
  }

  write(bytes: Buffer): void {
    this.#tap?.write(bytes)
  }

  addressOf(frame: Buffer, start: number): string {
    const from = start + 'HPUB '.length
    return frame.utf8Slice(from, frame.indexOf(32, from))
  }

  ping(position: number): void {
    this.#tap?.ping(position)
  }

  /** Number an answer is for; -1 when the subject names none. */
  slotOf(view: MessageView): number {
    return digits(view.buffer, view.nameStart + this.#inbox.length + 1, view.nameEnd)
  }
}

function head(origin: string, qos: number, retain: boolean): Buffer {
  const flags = retain ? 'Mqtt-Retain: 1\r\n' : ''
  return Buffer.from(`NATS/1.0\r\nMqtt-Origin: ${origin}\r\nMqtt-QoS: ${qos}\r\n${flags}\r\n`)
}

const STREAM_ANSWER = Buffer.from('{"stream":')

/**
 * Reads the answer to a publish: `undefined` when a stream has the message.
 * Source: PubAck of the JetStream API, `{"stream":…,"seq":…}` or `{"error":{"code","err_code","description"}}`,
 * and the 503 status of a publish nobody listens to.
 */
export function readAnswer(view: MessageView): Refusal | undefined {
  const { buffer, payloadStart, payloadEnd } = view
  const begin = payloadStart + STREAM_ANSWER.length
  if (
    begin <= payloadEnd &&
    buffer.compare(STREAM_ANSWER, 0, STREAM_ANSWER.length, payloadStart, begin) === 0
  ) {
    return undefined
  }
  if (view.headEnd > view.headStart)
    return { code: 'noResponders', text: 'no stream took the message' }
  return readError(buffer.utf8Slice(payloadStart, Math.min(payloadEnd, payloadStart + 4096)))
}

function readError(text: string): Refusal | undefined {
  try {
    const answer: unknown = JSON.parse(text)
    if (typeof answer !== 'object' || answer === null) return { code: 0, text }
    // a refusal names the stream as well
    if (!('error' in answer)) return 'stream' in answer ? undefined : { code: 0, text }
    const error = Object(answer.error) as Record<string, unknown>
    return { code: Number(error['err_code'] ?? 0), text: String(error['description'] ?? text) }
  } catch {
    return { code: 0, text: `unreadable answer of the stream: ${text.slice(0, 80)}` }
  }
}
