import type { MessageView } from '../core/message-view.ts'
import { digits } from './frames.ts'

/** Header names of the bridge; public interface, see docs/mapping.md. */
export const Header = { origin: 'Mqtt-Origin', qos: 'Mqtt-QoS', retain: 'Mqtt-Retain' } as const

const LF = 10
const VERSION_LENGTH = 'NATS/1.0'.length

/** Inline status of a header block, e.g. 503 of `NATS/1.0 503`; 0 when there is none. */
export function statusOf(view: MessageView): number {
  const at = view.headStart + VERSION_LENGTH
  if (view.headEnd - view.headStart < VERSION_LENGTH + 4 || view.buffer[at] !== 32) return 0
  return Math.max(0, digits(view.buffer, at + 1, at + 4))
}

/** Whether a status ends a pull as pulls end; any other 409 may mean that the consumer is gone. */
export function isOrdinaryEnd(view: MessageView): boolean {
  const status = statusOf(view)
  const text = view.buffer.latin1Slice(view.headStart, view.headEnd)
  return status === 404 || status === 408 || /MaxBytes|Batch Completed/.test(text)
}

/** Value of a header; `undefined` when it is absent. */
export function headerOf(view: MessageView, name: string): string | undefined {
  const block = view.buffer.utf8Slice(view.headStart, view.headEnd)
  const at = block.indexOf(`\r\n${name}:`)
  if (at < 0) return undefined
  const from = at + name.length + 3
  return block.slice(from, block.indexOf('\r\n', from)).trim()
}

/** Reads the bridge's own headers of a message into the view, without making strings. */
export class HeaderReader {
  readonly #origin: Buffer
  readonly #qos = Buffer.from(`${Header.qos}:`)
  readonly #retain = Buffer.from(`${Header.retain}:`)

  /** @param origin name of this bridge in `Mqtt-Origin` */
  constructor(origin: string) {
    this.#origin = Buffer.from(`${Header.origin}: ${origin}\r\n`)
  }

  read(view: MessageView): void {
    view.qos = -1
    view.retain = false
    view.own = false
    if (view.headEnd === view.headStart) return
    const { buffer, headEnd } = view
    // the first line is the version
    let at = buffer.indexOf(LF, view.headStart) + 1
    while (at > 0 && at < headEnd) {
      if (buffer[at] === 77 && buffer[at + 5] !== undefined) this.#line(view, at)
      at = buffer.indexOf(LF, at) + 1
    }
  }

  /** One line that begins with `M`. */
  #line(view: MessageView, at: number): void {
    const { buffer } = view
    if (startsWith(buffer, at, this.#origin)) view.own = true
    else if (startsWith(buffer, at, this.#qos)) view.qos = flag(buffer, at + this.#qos.length, 2)
    else if (startsWith(buffer, at, this.#retain)) {
      view.retain = flag(buffer, at + this.#retain.length, 1) === 1
    }
  }
}

function startsWith(buffer: Buffer, at: number, text: Buffer): boolean {
  for (let i = 0; i < text.length; i++) if (buffer[at + i] !== text[i]) return false
  return true
}

/** A digit up to `most` after optional blanks; -1 for anything else. */
function flag(buffer: Buffer, from: number, most: number): number {
  let at = from
  while (buffer[at] === 32) at++
  const value = (buffer[at] as number) - 48
  return value >= 0 && value <= most && (buffer[at + 1] as number) < 33 ? value : -1
}
