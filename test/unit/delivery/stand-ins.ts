import { DROP_REASONS, type DropReason, RouteBooks } from '../../../src/core/books.ts'
import type { Direction } from '../../../src/core/config.ts'
import { FrameBuffer } from '../../../src/core/frame-buffer.ts'
import type { Outlet } from '../../../src/core/lanes.ts'
import type { MessageView } from '../../../src/core/message-view.ts'
import type { Logger } from '../../../src/core/ports.ts'
import { DropLog } from '../../../src/delivery/drop-log.ts'
import { Mode, type Plan } from '../../../src/delivery/plans.ts'
import type { ManualClock } from '../../support/manual-clock.ts'
import { payloadOf } from '../../support/views.ts'

/** One frame as it was written, in the toy protocol of {@link ToyOutlet}. */
export interface Written {
  readonly address: string
  /** -1 for none. */
  readonly slot: number
  readonly payload: string
  readonly qos: number
  readonly repeated: boolean
  readonly v5: boolean
}

/**
 * An outlet that writes `flag version qos slot|address|payload;` and hands what it wrote, frame by frame, to
 * whoever plays the far side. Bytes written without a connection are gone, as on a socket.
 */
export class ToyOutlet implements Outlet<string> {
  readonly frames = new FrameBuffer()
  frameStart = 0
  up = false
  blocked = false
  maxPayload = 1_000
  maximumPacketSize = Number.POSITIVE_INFINITY
  maximumQos = 2
  v5 = false
  onFrame: (frame: Written) => void = () => undefined
  onPing: (position: number) => void = () => undefined
  writes = 0

  prepare(address: string): string {
    return address
  }

  encode(view: MessageView, target: string, slot: number, qos: number): void {
    const text = `N${this.v5 ? 5 : 4}${qos}${slot}|${target}|${payloadOf(view).toString('latin1')};`
    const { frames } = this
    frames.reserve(text.length)
    this.frameStart = frames.at
    frames.at += frames.buffer.write(text, frames.at, 'latin1')
  }

  write(bytes: Buffer): void {
    this.writes++
    if (!this.up) return
    for (const text of bytes.toString('latin1').split(';').slice(0, -1)) {
      const [head = '', address = '', payload = ''] = text.split('|')
      this.onFrame({
        address,
        payload,
        slot: Number(head.slice(3)),
        qos: Number(head[2]),
        v5: head[1] === '5',
        repeated: head[0] === 'D',
      })
    }
  }

  addressOf(frame: Buffer, start: number): string {
    const from = frame.indexOf('|', start) + 1
    return frame.toString('latin1', from, frame.indexOf('|', from))
  }

  ping(position: number): void {
    if (this.up) this.onPing(position)
  }

  packetBytes(view: MessageView, target: string): number {
    return target.length + view.payloadLength
  }

  markRepeated(frame: Buffer, start: number): void {
    frame[start] = 68
  }

  recode(frame: Buffer): Buffer {
    const out = Buffer.from(frame)
    out[1] = this.v5 ? 53 : 52
    return out
  }
}

/** A log that keeps its warnings. */
export function warnings(): { readonly logger: Logger; readonly said: Record<string, unknown>[] } {
  const said: Record<string, unknown>[] = []
  const quiet = (): void => undefined
  const warn = (fields: object): void => {
    said.push({ ...fields })
  }
  return { said, logger: { debug: quiet, info: quiet, warn, error: quiet, failure: quiet } }
}

export function dropLog(clock: ManualClock): DropLog {
  return new DropLog(warnings().logger, clock)
}

/** Plans by the first letters of a name, each with books of its own. */
export class Plans {
  readonly books = new Map<string, RouteBooks>()
  readonly #plans: Readonly<Record<string, Partial<Plan<string>>>>
  made = 0

  constructor(direction: Direction, plans: Readonly<Record<string, Partial<Plan<string>>>>) {
    this.#plans = plans
    for (const name of Object.keys(plans)) this.books.set(name, new RouteBooks(name, direction))
  }

  readonly planFor = (name: string): Plan<string> => {
    this.made++
    const key = name.replace(/\d+$/, '')
    const books = this.books.get(key)
    if (books === undefined) throw new Error(`no plan for '${key}'`)
    return {
      books,
      route: 0,
      target: name,
      address: name,
      refusal: undefined,
      text: '',
      mode: Mode.confirmed,
      qos: 1,
      retain: 'keep',
      owner: 0,
      ...this.#plans[key],
    }
  }

  get(name: string): RouteBooks {
    const books = this.books.get(name)
    if (books === undefined) throw new Error(`no books for '${name}'`)
    return books
  }

  /** Sum of what is wrong in all books: 0, or the flow under test is defective. */
  get imbalance(): number {
    let sum = 0
    for (const books of this.books.values()) sum += Math.abs(books.imbalance)
    return sum
  }

  dropped(name: string, reason: DropReason): number {
    return droppedFor(this.get(name), reason)
  }
}

export function droppedFor(books: RouteBooks, reason: DropReason): number {
  return books.dropped[DROP_REASONS.indexOf(reason)] as number
}
