import type { ServerResponse } from 'node:http'
import type { Decision, DecisionListener } from '../core/decision.ts'
import type { Clock } from '../core/ports.ts'
import { type Handler, sendText } from './http.ts'

/** Watchers at a time; further ones are turned away. */
const MAX_WATCHERS = 8
/** Lines reach a watcher gathered over this time, milliseconds. */
const GATHER_MS = 100
/** Lines one watcher is sent in that time; the rest is counted and told as skipped. */
const MAX_LINES = 500
/** Bytes a slow reader may have waiting; while it has more, its lines are skipped. */
const MAX_WAITING = 256 * 1024

/** What the feed needs of its owner. */
export interface TapFeedDeps {
  readonly clock: Clock
  /** Sets who is told of decisions; undefined when nobody watches, so that the messages cost nothing. */
  readonly listen: (listener: DecisionListener | undefined) => void
  /** Why a filter cannot be used; undefined when it can. */
  readonly checkFilter: (filter: string) => string | undefined
  readonly matches: (filter: string, decision: Decision) => boolean
}

interface Watcher {
  readonly response: ServerResponse
  readonly filter: string
  lines: string[]
  skipped: number
}

/**
 * `GET /tap`: the decisions about messages as they are made, a JSON object per line, without payloads. A
 * watcher that reads slowly, or watches more than people can, misses some, and is told how many.
 */
export class TapFeed {
  readonly #deps: TapFeedDeps
  readonly #watchers = new Set<Watcher>()
  #callOff: () => void = () => undefined

  constructor(deps: TapFeedDeps) {
    this.#deps = deps
  }

  /** Answers `/tap`, optionally `?filter=sensors/%23`. */
  readonly handler: Handler = (request, response) => {
    const filter = new URL(request.url ?? '/', 'http://localhost').searchParams.get('filter') ?? ''
    const wrong = filter === '' ? undefined : this.#deps.checkFilter(filter)
    if (wrong !== undefined) return sendText(response, 400, `filter '${filter}' ${wrong}\n`)
    if (this.#watchers.size >= MAX_WATCHERS) {
      return sendText(response, 503, `${MAX_WATCHERS} watch already\n`)
    }
    response.writeHead(200, { 'content-type': 'application/x-ndjson; charset=utf-8' })
    if (request.method === 'HEAD') response.end()
    else this.#add({ response, filter, lines: [], skipped: 0 })
  }

  /** Ends every open answer. */
  stop(): void {
    for (const watcher of this.#watchers) {
      this.#send(watcher)
      watcher.response.end()
      this.#remove(watcher)
    }
  }

  #add(watcher: Watcher): void {
    watcher.response.flushHeaders()
    watcher.response.on('close', () => this.#remove(watcher))
    this.#watchers.add(watcher)
    if (this.#watchers.size > 1) return
    this.#deps.listen((decision) => this.#tell(decision))
    this.#schedule()
  }

  #remove(watcher: Watcher): void {
    if (!this.#watchers.delete(watcher) || this.#watchers.size > 0) return
    this.#callOff()
    this.#deps.listen(undefined)
  }

  #tell(decision: Decision): void {
    let line = ''
    for (const watcher of this.#watchers) {
      if (watcher.filter !== '' && !this.#deps.matches(watcher.filter, decision)) continue
      if (watcher.lines.length >= MAX_LINES) {
        watcher.skipped++
        continue
      }
      if (line === '') {
        const time = new Date(this.#deps.clock.now()).toISOString()
        line = `${JSON.stringify({ time, ...decision })}\n`
      }
      watcher.lines.push(line)
    }
  }

  #schedule(): void {
    this.#callOff = this.#deps.clock.after(GATHER_MS, () => {
      for (const watcher of this.#watchers) this.#send(watcher)
      this.#schedule()
    })
  }

  #send(watcher: Watcher): void {
    const { response, lines } = watcher
    if (response.writableLength > MAX_WAITING) {
      watcher.skipped += lines.length
      watcher.lines = []
      return
    }
    if (watcher.skipped > 0) lines.push(`${JSON.stringify({ skipped: watcher.skipped })}\n`)
    if (lines.length === 0) return
    response.write(lines.join(''))
    watcher.lines = []
    watcher.skipped = 0
  }
}
