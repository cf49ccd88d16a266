import { type BigIntStats, realpathSync, statSync } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import type { Logger } from '../core/ports.ts'

/** What {@link watchFiles} gives back. Both calls may repeat. */
export interface FileWatcher {
  /** Remembers how the files are now and begins to look at them. */
  start(): void
  /** Looks no more; nothing is reported afterwards. */
  stop(): void
  /** Looks at once; resolves when every change was reported. */
  poll(): Promise<void>
}

/** How {@link watchFiles} looks. */
export interface WatchOptions {
  /** Milliseconds between looks; 1000 unless told. */
  readonly interval?: number
  /** Told when `onChange` throws. */
  readonly logger?: Logger
}

/**
 * Reports files that change, appear or vanish, also when a link on the way to them is pointed elsewhere, which is
 * how Kubernetes replaces mounted secrets. Looks at them in intervals: file events do not cross every mount,
 * and a link swapped above the file raises none. The timer does not keep the process alive.
 */
export function watchFiles(
  paths: readonly string[],
  onChange: (path: string) => void,
  options: WatchOptions = {},
): FileWatcher {
  return new PollingWatcher(paths, onChange, options)
}

class PollingWatcher implements FileWatcher {
  readonly #seen: Map<string, string>
  readonly #onChange: (path: string) => void
  readonly #interval: number
  readonly #logger: Logger | undefined
  #timer: NodeJS.Timeout | undefined
  #polling: Promise<void> | undefined

  constructor(
    paths: readonly string[],
    onChange: (path: string) => void,
    { interval = 1000, logger }: WatchOptions,
  ) {
    this.#seen = new Map(paths.map((path) => [path, '']))
    this.#onChange = onChange
    this.#interval = interval
    this.#logger = logger
  }

  start(): void {
    if (this.#timer !== undefined) return
    for (const path of this.#seen.keys()) this.#seen.set(path, fingerprintNow(path))
    this.#timer = setInterval(() => void this.poll(), this.#interval)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  poll(): Promise<void> {
    this.#polling ??= this.#look().finally(() => {
      this.#polling = undefined
    })
    return this.#polling
  }

  async #look(): Promise<void> {
    for (const [path, before] of this.#seen) {
      const now = await fingerprint(path)
      if (this.#timer === undefined) return
      if (now === before) continue
      this.#seen.set(path, now)
      this.#report(path)
    }
  }

  #report(path: string): void {
    try {
      this.#onChange(path)
    } catch (error) {
      this.#logger?.warn({ path, error }, 'handling a changed file failed')
    }
  }
}

async function fingerprint(path: string): Promise<string> {
  try {
    return printOf(await stat(path, { bigint: true }), await realpath(path))
  } catch {
    return 'missing'
  }
}

function fingerprintNow(path: string): string {
  try {
    return printOf(statSync(path, { bigint: true }), realpathSync(path))
  } catch {
    return 'missing'
  }
}

function printOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats, real: string): string {
  return [dev, ino, size, mtimeNs, ctimeNs, real].join(' ')
}
