import type { Decision } from '../core/decision.ts'
import type { Clock } from '../core/ports.ts'
import { type Paint, visible } from './terminal.ts'

/** A message that was seen, with the beginning of its payload. */
export interface Crossing {
  readonly decision: Decision
  readonly payload: Uint8Array
}

/** Bytes of a payload that are worth copying for {@link crossingLine}. */
export const PREVIEW_BYTES = 200
const PREVIEW_CHARS = 60
const PREVIEW_HEX = 8
/** Lines shown in one second; the rest is counted. */
const MAX_PER_SECOND = 50
const SECOND = 1_000

/** One message for people: when, which way, as what, and how its payload begins. */
export function crossingLine({ decision, payload }: Crossing, at: Date, paint: Paint): string {
  const { direction, name, address, outcome, bytes, retain } = decision
  const [near, far] = direction === 'mqttToNats' ? ['MQTT', 'NATS'] : ['NATS', 'MQTT']
  const isCarried = outcome === 'forwarded' || outcome === 'inFlight'
  const way = isCarried
    ? `${paint('green', '→')} ${far} ${visible(address)}`
    : paint('red', `✗ ${outcome}`)
  const flags = retain ? paint('dim', '  retained') : ''
  const time = paint('dim', at.toTimeString().slice(0, 8))
  return `${time}  ${near} ${visible(name)} ${way}  ${paint('cyan', preview(payload, bytes))}${flags}\n`
}

/** The beginning of a payload: as text where it is text, else as bytes. */
export function preview(start: Uint8Array, length: number): string {
  if (length === 0) return '(empty)'
  const text = textOf(start)
  if (text === undefined) {
    const hex = Buffer.from(start.subarray(0, PREVIEW_HEX)).toString('hex')
    return `(${length} bytes: ${hex}${length > PREVIEW_HEX ? '…' : ''})`
  }
  const chars = [...text]
  const isCut = chars.length > PREVIEW_CHARS || start.length < length
  return visible(chars.slice(0, PREVIEW_CHARS).join('')) + (isCut ? '…' : '')
}

/** Undefined for what is no UTF-8; a character cut at the end is left out. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true })
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}

/** Writes crossings as they come, but no more than people can read; what is left out is counted. */
export class CrossingPrinter {
  readonly #write: (text: string) => void
  readonly #paint: Paint
  readonly #clock: Clock
  #shown = 0
  #hidden = 0
  #callOff: (() => void) | undefined

  constructor(write: (text: string) => void, paint: Paint, clock: Clock) {
    this.#write = write
    this.#paint = paint
    this.#clock = clock
  }

  show(crossing: Crossing): void {
    this.#callOff ??= this.#clock.after(SECOND, () => this.flush())
    if (this.#shown >= MAX_PER_SECOND) {
      this.#hidden++
      return
    }
    this.#shown++
    this.#write(crossingLine(crossing, new Date(this.#clock.now()), this.#paint))
  }

  /** Says what was left out. */
  flush(): void {
    this.#callOff?.()
    this.#callOff = undefined
    if (this.#hidden > 0) this.#write(this.#paint('yellow', `… ${this.#hidden} more, not shown\n`))
    this.#shown = 0
    this.#hidden = 0
  }
}
