import { microseconds } from '../wire/clock.mjs'

/** Messages per write. */
const PER_WRITE = 250

/**
 * @typedef {{
 *   socket: import('node:net').Socket,
 *   block: import('./load-block.mjs').LoadBlock,
 *   outstanding: number,
 *   window: number,
 * }} PumpOptions
 */

/**
 * Sends a prebuilt block round and round, held back by three things: the socket, the window of
 * unacknowledged messages (QoS 1), and `outstanding`, the messages sent that the sink does not have
 * yet. The last is what keeps a fast sender from filling the queues of a slow program under test,
 * where a broker would begin to drop; it is the same for every program.
 */
export class Pump {
  #socket
  #block
  #outstanding
  #window
  #cursor = 0
  #nextId = 1
  #target = 0
  #sent = 0
  #acked = 0
  #received = 0
  #receivedBefore = 0
  #isBlocked = false

  /** @param {PumpOptions} options */
  constructor({ socket, block, outstanding, window }) {
    this.#socket = socket
    this.#block = block
    this.#outstanding = outstanding
    this.#window = window
    socket.on('drain', () => {
      this.#isBlocked = false
      this.#pump()
    })
  }

  /**
   * Sends `messages` more; answers when the first was written, in microseconds.
   *
   * @param {number} messages
   * @param {number} received what the sink has so far
   */
  send(messages, received) {
    this.#sent = 0
    this.#acked = 0
    this.#target = messages
    this.#received = received
    this.#receivedBefore = received
    const startedAt = microseconds()
    this.#pump()
    return startedAt
  }

  /** @param {number} received what the sink has so far */
  received(received) {
    this.#received = received
    this.#pump()
  }

  /** @param {number} messages acknowledged since the last call */
  acknowledged(messages) {
    this.#acked += messages
    this.#pump()
  }

  #pump() {
    while (!this.#isBlocked) {
      const count = this.#allowed()
      if (count === 0) return
      this.#sent += count
      this.#isBlocked = !this.#socket.write(this.#take(count))
    }
  }

  /** How many may go in the next write: a full write, what is left of the target, or 0. */
  #allowed() {
    const wanted = Math.min(
      PER_WRITE,
      this.#target - this.#sent,
      this.#block.ends.length - this.#cursor,
    )
    const onTheWay = this.#sent - (this.#received - this.#receivedBefore)
    const unacked = this.#sent - this.#acked
    const fits = onTheWay + wanted <= this.#outstanding && unacked + wanted <= this.#window
    return fits ? wanted : 0
  }

  /** @param {number} count */
  #take(count) {
    const { bytes, ends, ids } = this.#block
    const first = this.#cursor
    const start = first === 0 ? 0 : ends[first - 1]
    const end = ends[first + count - 1]
    this.#cursor = (first + count) % ends.length
    if (this.#window === Number.MAX_SAFE_INTEGER) return bytes.subarray(start, end)
    const copy = Buffer.from(bytes.subarray(start, end))
    for (let i = first; i < first + count; i++) {
      copy.writeUInt16BE(this.#nextId, ids[i] - start)
      this.#nextId = this.#nextId === 0xffff ? 1 : this.#nextId + 1
    }
    return copy
  }
}
