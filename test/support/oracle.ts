/** Makes and reads payloads that say which message they are: `run:topicIndex:seq`, then filler. */
export interface Numbering {
  /** Payload of message `seq` (from 0) of a topic, padded to `size` bytes when that is more. */
  make(topicIndex: number, seq: number, size?: number): string
}

/** Which message a payload is. */
export interface Numbered {
  readonly run: string
  readonly topicIndex: number
  readonly seq: number
}

/** Numbers the messages of one run; `run` has no colon and keeps runs apart. */
export function numbering(run: string): Numbering {
  return {
    make: (topicIndex, seq, size = 0) => `${run}:${topicIndex}:${seq}:`.padEnd(size, 'x'),
  }
}

const PAYLOAD = /^([^:]+):(\d+):(\d+):x*$/

/** Reads such a payload; undefined when it is none. */
export function parseNumbered(payload: string | Uint8Array): Numbered | undefined {
  const text = typeof payload === 'string' ? payload : Buffer.from(payload).toString('latin1')
  const [, run, topicIndex, seq] = PAYLOAD.exec(text) ?? []
  if (run === undefined) return undefined
  return { run, topicIndex: Number(topicIndex), seq: Number(seq) }
}

/** What became of the messages of a run; all counts are exact. */
export interface Verdict {
  /** Expected and never arrived. */
  readonly lost: number
  /** Arrivals of a message that had arrived before. */
  readonly doubled: number
  /** Messages whose first arrival came after that of a later message of the same topic. */
  readonly reordered: number
  /** Arrivals that belong to no message of this run, or came under a name that is not its own. */
  readonly foreign: number
  /** Different messages that arrived. */
  readonly arrived: number
  readonly expected: number
  /** The first few of each kind, in words. */
  readonly examples: readonly string[]
}

/** Collects what arrived of one numbered run and judges it. */
export class Oracle {
  readonly #run: string
  readonly #expected: readonly number[]
  readonly #seen: Uint32Array[]
  readonly #highest: number[]
  readonly #names: ((topicIndex: number) => string) | undefined
  readonly #examples: string[] = []
  #arrived = 0
  #doubled = 0
  #reordered = 0
  #foreign = 0

  /**
   * @param run the name given to {@link numbering}
   * @param expected how many messages each topic gets, by topic index
   * @param names the name each topic must arrive under, checked when given
   */
  constructor(run: string, expected: readonly number[], names?: (topicIndex: number) => string) {
    this.#run = run
    this.#expected = expected
    this.#names = names
    this.#seen = expected.map((count) => new Uint32Array(count))
    this.#highest = expected.map(() => -1)
  }

  /** Notes one arrival. */
  arrive(name: string, payload: string | Uint8Array): void {
    const message = parseNumbered(payload)
    const seen = message && this.#seen[message.topicIndex]
    if (!message || !seen || message.run !== this.#run || message.seq >= seen.length) {
      this.#foreign++
      this.#note(`foreign: '${name}' ${String(payload).slice(0, 60)}`)
      return
    }
    const { topicIndex, seq } = message
    if (this.#names && this.#names(topicIndex) !== name) {
      this.#foreign++
      this.#note(`foreign: message ${topicIndex}:${seq} arrived under '${name}'`)
    }
    const times = seen[seq] ?? 0
    seen[seq] = times + 1
    if (times > 0) {
      this.#doubled++
      this.#note(`doubled: ${topicIndex}:${seq}`)
      return
    }
    this.#arrived++
    const highest = this.#highest[topicIndex] ?? -1
    if (seq < highest) {
      this.#reordered++
      this.#note(`reordered: ${topicIndex}:${seq} after ${highest}`)
    } else {
      this.#highest[topicIndex] = seq
    }
  }

  #note(example: string): void {
    if (this.#examples.length < 10) this.#examples.push(example)
  }

  /** Different messages that arrived so far: what to wait for. */
  arrived(): number {
    return this.#arrived
  }

  /** Messages expected altogether. */
  expected(): number {
    return this.#expected.reduce((sum, count) => sum + count, 0)
  }

  /** True when every expected message has arrived at least once. */
  complete(): boolean {
    return this.#arrived === this.expected()
  }

  verdict(): Verdict {
    const expected = this.expected()
    const missing = this.#missing(10)
    return {
      lost: expected - this.#arrived,
      doubled: this.#doubled,
      reordered: this.#reordered,
      foreign: this.#foreign,
      arrived: this.#arrived,
      expected,
      examples: [...this.#examples, ...missing],
    }
  }

  #missing(limit: number): string[] {
    const missing: string[] = []
    for (const [topicIndex, seen] of this.#seen.entries()) {
      for (let seq = 0; seq < seen.length && missing.length < limit; seq++) {
        if (seen[seq] === 0) missing.push(`lost: ${topicIndex}:${seq}`)
      }
    }
    return missing
  }
}
