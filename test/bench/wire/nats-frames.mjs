// The few frames of the NATS client protocol that load and sinks need, built and read by hand.

const LINE_END = 10
const LETTER_M = 77
const LETTER_H = 72
const ZERO = 48

/** What a client says first; `noEcho` does not matter here, both ends only send or only receive. */
export const CONNECT_LINE = 'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n'

/**
 * @param {string} subject
 * @param {Buffer} payload
 */
export function pubFrame(subject, payload) {
  return Buffer.concat([
    Buffer.from(`PUB ${subject} ${payload.length}\r\n`),
    payload,
    Buffer.from('\r\n'),
  ])
}

/**
 * Reads what a server sends: `onMessage` gets the buffer and the range of each payload (headers left
 * out), `onLine` every other line except INFO.
 */
export class ServerFrames {
  /** @type {Buffer} */
  #rest = Buffer.alloc(0)
  #onMessage
  #onLine

  /**
   * @param {(bytes: Buffer, start: number, end: number) => void} onMessage
   * @param {(line: string) => void} onLine
   */
  constructor(onMessage, onLine) {
    this.#onMessage = onMessage
    this.#onLine = onLine
  }

  /** @param {Buffer} chunk */
  scan(chunk) {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    let at = 0
    for (;;) {
      const lineEnd = bytes.indexOf(LINE_END, at)
      if (lineEnd < 0) break
      if (isMessage(bytes, at)) {
        const end = lineEnd + 1 + numberBefore(bytes, lineEnd - 2)
        if (end + 2 > bytes.length) break
        this.#onMessage(bytes, lineEnd + 1 + headerLength(bytes, at, lineEnd), end)
        at = end + 2
      } else {
        const line = bytes.toString('latin1', at, lineEnd - 1)
        if (!line.startsWith('INFO')) this.#onLine(line)
        at = lineEnd + 1
      }
    }
    this.#rest = Buffer.from(bytes.subarray(at))
  }
}

/**
 * @param {Buffer} bytes
 * @param {number} at
 */
function isMessage(bytes, at) {
  return bytes[at] === LETTER_M || (bytes[at] === LETTER_H && bytes[at + 1] === LETTER_M)
}

/**
 * The decimal number whose last digit lies at `last`.
 *
 * @param {Buffer} bytes
 * @param {number} last
 */
function numberBefore(bytes, last) {
  let value = 0
  let unit = 1
  for (let at = last; bytes[at] >= ZERO && bytes[at] <= ZERO + 9; at--) {
    value += (bytes[at] - ZERO) * unit
    unit *= 10
  }
  return value
}

/**
 * Bytes of headers before the payload: the last but one field of an HMSG line, 0 for MSG.
 *
 * @param {Buffer} bytes
 * @param {number} start
 * @param {number} lineEnd
 */
function headerLength(bytes, start, lineEnd) {
  if (bytes[start] !== LETTER_H) return 0
  return numberBefore(bytes, bytes.lastIndexOf(32, lineEnd) - 1)
}
