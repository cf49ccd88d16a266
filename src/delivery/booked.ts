import type { DropReason, RouteBooks } from '../core/books.ts'
import type { DropLog } from './drop-log.ts'
import { Slot, type Window } from './window.ts'

/**
 * Enters a delivered slot into its route's books.
 * @param now monotonic milliseconds
 * @param wall milliseconds since the epoch
 */
export function bookForwarded(window: Window, slot: number, now: number, wall: number): void {
  const books = window.books[slot] as RouteBooks
  const qos = window.qos[slot] as number
  books.inFlight--
  books.forwarded[qos] = (books.forwarded[qos] as number) + 1
  books.forwardedBytes += window.bytesOf[slot] as number
  books.lastForwardedAt = wall
  books.observe((now - (window.since[slot] as number)) / 1000)
}

/** Lets go of an open slot's message: only its acknowledgement is still to be sent in order. */
export function bookDropped(
  window: Window,
  slot: number,
  drops: DropLog,
  why: { readonly reason: DropReason; readonly text: string },
): void {
  const books = window.books[slot] as RouteBooks
  books.inFlight--
  books.drop(why.reason)
  drops.note(books, why.reason, why.text)
  window.state[slot] = Slot.done
}
