import { statSync } from 'node:fs'
import type { Clock } from '../../core/ports.ts'

const LOOK_EVERY_MS = 1_000

/** Notices that files changed, by looking at most once a second and only when asked. */
export class ChangingFiles {
  readonly #paths: readonly string[]
  readonly #clock: Clock
  #looked = Number.NEGATIVE_INFINITY
  #seen = ''

  constructor(paths: readonly string[], clock: Clock) {
    this.#paths = paths
    this.#clock = clock
  }

  /** Whether they differ from the last time this said so; the first call says yes. */
  changed(): boolean {
    const now = this.#clock.monotonic()
    if (now - this.#looked < LOOK_EVERY_MS) return false
    this.#looked = now
    const print = this.#paths.map(fingerprint).join()
    if (print === this.#seen) return false
    this.#seen = print
    return true
  }
}

function fingerprint(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat === undefined ? 'none' : `${stat.ino}.${stat.size}.${stat.mtimeMs}`
}
