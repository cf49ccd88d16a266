import { BridgeError } from '../core/errors.ts'
import type { MessageView } from '../core/message-view.ts'

/** Kinds of frames a server sends, by what the tap does with them. */
export const Frame = { other: 0, message: 1, pong: 2, error: 3 } as const

/** Longest protocol line accepted from a server; INFO lists every server of a cluster. */
const MAX_LINE = 1024 * 1024

const TAB = 9
const LF = 10
const CR = 13
const SPACE = 32
const LETTER = { M: 77, H: 72, P: 80, O: 79, minus: 45 } as const

/**
 * Reads one frame of the NATS client protocol at a time: {@link measure} finds its length, and of a MSG or
 * HMSG everything else too, since the length stands at the end of the line.
 */
export class FrameScanner {
  kind: number = Frame.other
  /** Subscription id of the message measured last. */
  sid = 0
  /** Ranges of the message measured last; header block and payload are there only when the frame is whole. */
  readonly view: MessageView
  readonly #maxMessage: () => number
  readonly #stops = new Int32Array(6)

  /** @param maxMessage largest message the server may send, bytes: its max_payload */
  constructor(view: MessageView, maxMessage: () => number) {
    this.view = view
    this.#maxMessage = maxMessage
  }

  /**
   * Length of the frame at `at`; 0 when its line has not ended yet.
   * @throws BridgeError PROTOCOL_ERROR
   */
  measure(buffer: Buffer, at: number, end: number): number {
    const first = buffer[at]
    if (first === LETTER.M) return this.#message(buffer, at, at + 4, end, 3)
    if (first === LETTER.H) return this.#message(buffer, at, at + 5, end, 4)
    return this.#line(buffer, at, end)
  }

  #line(buffer: Buffer, at: number, end: number): number {
    const newline = buffer.indexOf(LF, at)
    if (newline < 0 || newline >= end) return tooLong(end - at)
    const first = buffer[at]
    this.kind = Frame.other
    if (first === LETTER.P && buffer[at + 1] === LETTER.O) this.kind = Frame.pong
    else if (first === LETTER.minus) this.kind = Frame.error
    return newline + 1 - at
  }

  /** `MSG subject sid [reply] size` or `HMSG subject sid [reply] headers size`: one pass over the line. */
  #message(buffer: Buffer, at: number, from: number, end: number, least: number): number {
    const stops = this.#stops
    let tokens = 0
    let i = from
    for (; i < end; i++) {
      const byte = buffer[i] as number
      if (byte > SPACE) continue
      if (byte === LF) break
      // other control characters are part of a subject
      if (byte !== SPACE && byte !== CR && byte !== TAB) continue
      if (tokens === 5) throw nonsense(buffer, at, i)
      stops[tokens++] = i
    }
    if (i >= end) return tooLong(end - at)
    // the CR before the line feed ended the last token
    if (buffer[from - 1] !== SPACE || tokens < least || tokens > least + 1)
      throw nonsense(buffer, at, i)
    return this.#fill(buffer, at, from, i, tokens, least)
  }

  #fill(
    buffer: Buffer,
    at: number,
    from: number,
    lf: number,
    tokens: number,
    least: number,
  ): number {
    const stops = this.#stops
    const view = this.view
    const subjectEnd = stops[0] as number
    const sidEnd = stops[1] as number
    const withHeaders = least === 4
    const sizeEnd = stops[tokens - 1] as number
    const sizeStart = (stops[tokens - 2] as number) + 1
    const size = digits(buffer, sizeStart, sizeEnd)
    const headers = withHeaders
      ? digits(buffer, (stops[tokens - 3] as number) + 1, sizeStart - 1)
      : 0
    this.sid = digits(buffer, subjectEnd + 1, sidEnd)
    if (size < 0 || headers < 0 || headers > size || this.sid < 0) throw nonsense(buffer, at, lf)
    if (size > this.#maxMessage()) {
      throw new BridgeError(`reading from the NATS server: a message of ${size} bytes`, {
        code: 'PROTOCOL_ERROR',
      })
    }
    this.kind = Frame.message
    view.buffer = buffer
    view.nameStart = from
    view.nameEnd = subjectEnd
    view.replyStart = tokens > least ? sidEnd + 1 : 0
    view.replyEnd = tokens > least ? (stops[2] as number) : 0
    view.headStart = lf + 1
    view.headEnd = lf + 1 + headers
    view.payloadStart = view.headEnd
    view.payloadEnd = lf + 1 + size
    return lf + 1 + size + 2 - at
  }
}

function tooLong(length: number): number {
  if (length <= MAX_LINE) return 0
  throw new BridgeError(`reading from the NATS server: a line of more than ${MAX_LINE} bytes`, {
    code: 'PROTOCOL_ERROR',
  })
}

function nonsense(buffer: Buffer, at: number, end: number): BridgeError {
  const line = JSON.stringify(buffer.latin1Slice(at, Math.min(end, at + 80)))
  return new BridgeError(`reading from the NATS server: ${line} is no message`, {
    code: 'PROTOCOL_ERROR',
  })
}

/** Decimal number in the range; -1 when it is none. */
export function digits(buffer: Buffer, from: number, to: number): number {
  if (from >= to || to - from > 15) return -1
  let value = 0
  for (let i = from; i < to; i++) {
    const digit = (buffer[i] as number) - 48
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

/** Writes a decimal number; returns where it ends. */
export function writeNumber(out: Buffer, at: number, value: number): number {
  let size = 1
  for (let bound = 10; bound <= value; bound *= 10) size++
  let rest = value
  for (let i = at + size - 1; i >= at; i--) {
    const next = Math.floor(rest / 10)
    out[i] = 48 + rest - next * 10
    rest = next
  }
  return at + size
}

/** Writes CR LF; returns where it ends. */
export function writeLineEnd(out: Buffer, at: number): number {
  out[at] = 13
  out[at + 1] = LF
  return at + 2
}

/**
 * How many PING commands the client library wrote in these bytes, so that each PONG finds the lane its PING
 * came from. Whole commands only, as the library writes them.
 */
export function countPings(bytes: Uint8Array): number {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let pings = 0
  let at = 0
  while (at < buffer.length) {
    const newline = buffer.indexOf(LF, at)
    if (newline < 0) break
    const line = buffer.latin1Slice(at, newline).trimEnd()
    at = newline + 1
    if (line === 'PING') pings++
    else if (line.startsWith('PUB ') || line.startsWith('HPUB ')) {
      at += Number(line.slice(line.lastIndexOf(' ') + 1)) + 2
    }
  }
  return pings
}
