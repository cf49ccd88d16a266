import type { RouteBooks } from '../core/books.ts'
import { BridgeError } from '../core/errors.ts'
import { SLAB_BYTES } from '../core/frame-buffer.ts'

/** What became of a slot. */
export const Slot = {
  free: 0,
  /** Waiting for the far side. */
  open: 1,
  /** The far side has it. */
  delivered: 2,
  /** Accounted for already (dropped, filtered): only its acknowledgement is still to be sent in order. */
  done: 3,
} as const

/**
 * What was taken and is not settled, in the order it was taken: a ring of slots with parallel arrays, so
 * that a message costs no object. Slots are settled in any order and released from the head only, which is
 * what keeps acknowledgements in receive order [MQTT-4.6.0-2].
 *
 *     head ········ sent ········ tail        positions only grow; slot = position & mask
 *     |  written    |  to be      |  free
 *     |  to far side|  written    |
 *
 * Each slot keeps the slice of the frame written for it, so that it can be written again on a new connection.
 */
export class Window {
  /** Slots that may be taken. */
  readonly limit: number
  readonly limitBytes: number
  readonly capacity: number
  readonly mask: number
  head = 0
  sent = 0
  tail = 0

  readonly state: Uint8Array
  /** Source's name for the message: packet id, or stream sequence. */
  readonly token: Float64Array
  /** Source's second number: consumer sequence. */
  readonly token2: Float64Array
  /** Connection generation or consumer epoch the source's ack belongs to. */
  readonly epoch: Float64Array
  /** What the flow needs to know to settle: delivery mode, or index of the consumer. */
  readonly lane: Uint16Array
  readonly qos: Uint8Array
  /** Payload, bytes. */
  readonly bytesOf: Int32Array
  /** Times the frame was refused by the far side for a reason that may pass. */
  readonly refusals: Uint8Array
  /** Monotonic milliseconds when it was taken. */
  readonly since: Float64Array
  readonly books: (RouteBooks | undefined)[]
  readonly buffer: (Buffer | undefined)[]
  readonly start: Int32Array
  readonly end: Int32Array
  readonly #slab: Float64Array

  /**
   * @param limit messages, at most 16,384
   * @param limitBytes memory the kept frames may hold, bytes
   */
  constructor(limit: number, limitBytes: number) {
    this.limit = limit
    this.limitBytes = limitBytes
    let capacity = 64
    while (capacity < limit * 2) capacity *= 2
    this.capacity = capacity
    this.mask = capacity - 1
    this.state = new Uint8Array(capacity)
    this.token = new Float64Array(capacity)
    this.token2 = new Float64Array(capacity)
    this.epoch = new Float64Array(capacity)
    this.lane = new Uint16Array(capacity)
    this.qos = new Uint8Array(capacity)
    this.bytesOf = new Int32Array(capacity)
    this.refusals = new Uint8Array(capacity)
    this.since = new Float64Array(capacity)
    this.books = new Array<RouteBooks | undefined>(capacity).fill(undefined)
    this.buffer = new Array<Buffer | undefined>(capacity).fill(undefined)
    this.start = new Int32Array(capacity)
    this.end = new Int32Array(capacity)
    this.#slab = new Float64Array(capacity)
  }

  get size(): number {
    return this.tail - this.head
  }

  /** Memory the kept frames may hold at most, in whole slabs. */
  get bytes(): number {
    if (this.tail === this.head) return 0
    const first = this.#slab[this.head & this.mask] as number
    const last = this.#slab[(this.tail - 1) & this.mask] as number
    return (last - first + 1) * SLAB_BYTES
  }

  /** The head can be released. */
  get isSettled(): boolean {
    return (this.state[this.head & this.mask] as number) >= Slot.delivered
  }

  /** No more may be taken until something is released. */
  get full(): boolean {
    return this.tail - this.head >= this.limit || this.bytes >= this.limitBytes
  }

  /** Index the next {@link open} will return. */
  get next(): number {
    return this.tail & this.mask
  }

  /**
   * Takes the next slot for an open message; returns its index. The caller fills in the rest.
   * @throws BridgeError INTERNAL when the ring is full, which {@link full} is there to prevent: the link that
   *   brought the message breaks, and nothing is lost
   */
  open(slab: number, now: number): number {
    if (this.tail - this.head >= this.capacity) {
      throw new BridgeError('taking a message: the window is full', { code: 'INTERNAL' })
    }
    const slot = this.tail++ & this.mask
    this.state[slot] = Slot.open
    this.refusals[slot] = 0
    this.since[slot] = now
    this.#slab[slot] = slab
    return slot
  }

  /** Keeps the frame written for a slot. */
  keep(slot: number, buffer: Buffer, start: number, end: number): void {
    this.buffer[slot] = buffer
    this.start[slot] = start
    this.end[slot] = end
  }

  /** Gives the head slot back; it must be settled. */
  release(): void {
    const slot = this.head++ & this.mask
    this.state[slot] = Slot.free
    this.buffer[slot] = undefined
    this.books[slot] = undefined
    if (this.sent < this.head) this.sent = this.head
  }

  /** Position of a slot index between head and tail, or -1 when it holds nothing. */
  positionOf(slot: number): number {
    if (slot < 0 || slot >= this.capacity || this.state[slot] === Slot.free) return -1
    return this.head + ((slot - this.head) & this.mask)
  }

  /** Seconds the oldest unsettled message has waited. */
  oldest(now: number): number {
    return this.size === 0 ? 0 : (now - (this.since[this.head & this.mask] as number)) / 1000
  }

  /** Everything from the head on must be written again: the connection it was written to is gone. */
  rewind(): void {
    this.sent = this.head
  }

  /**
   * Hands over the frames from `sent` up to `limit` positions past the head, joined where they lie side by
   * side, and moves `sent`. Settled slots are passed over.
   * @param onSend told each slot before it is written, e.g. to mark a repeat
   */
  send(limit: number, write: (bytes: Buffer) => void, onSend?: (slot: number) => void): void {
    const stop = Math.min(this.tail, this.head + limit)
    let buffer: Buffer | undefined
    let from = 0
    let to = 0
    for (; this.sent < stop; this.sent++) {
      const slot = this.sent & this.mask
      const kept = this.buffer[slot]
      if (this.state[slot] !== Slot.open || kept === undefined) continue
      onSend?.(slot)
      if (kept !== buffer || this.start[slot] !== to) {
        if (buffer !== undefined) write(buffer.subarray(from, to))
        buffer = kept
        from = this.start[slot] as number
      }
      to = this.end[slot] as number
    }
    if (buffer !== undefined) write(buffer.subarray(from, to))
  }
}
