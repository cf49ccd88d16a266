import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Bridge } from '../../src/bridge.ts'
import { loadConfig } from '../../src/config/load.ts'
import { watchFiles } from '../../src/config/watch.ts'
import { DROP_REASONS, type DropReason, type RouteBooks } from '../../src/core/books.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { BridgeConfig, Direction } from '../../src/core/config.ts'
import type { BridgeReport } from '../../src/core/status.ts'
import { Metrics } from '../../src/ops/metrics.ts'
import { toStatusJson } from '../../src/ops/status.ts'
import { sumMetric } from './bridge-process.ts'
import { eventually } from './eventually.ts'
import { type LogLine, logCollector } from './nats-session-stage.ts'
import { tempFolder } from './temp.ts'

/** A configuration as an operator writes it. */
export type WrittenConfig = Readonly<Record<string, unknown>>

/** A bridge in this process, with everything it says. Disposal stops it. */
export interface BridgeHere extends AsyncDisposable {
  readonly bridge: Bridge
  readonly config: BridgeConfig
  /** What it logged, all rooms together. */
  readonly lines: readonly LogLine[]
  report(): BridgeReport
  /** Books of a route, the one named `#` unless given. */
  books(direction: Direction, route?: string): RouteBooks
  /** What it dropped, by reason, over all routes of a direction. */
  dropped(direction: Direction): Partial<Record<DropReason, number>>
  /** Routes whose books do not balance, in words. */
  unbalanced(): string[]
  /** The page `/status`. */
  status(): Record<string, unknown>
  /** Value of a metric over its label sets that contain these labels. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number | undefined>
  untilReady(deadline?: number): Promise<void>
  /** Waits until one of the reasons for not being ready matches; resolves to it. */
  untilReason(pattern: RegExp, deadline?: number): Promise<string>
  /** What a SIGTERM does: settles what is in flight, then leaves. */
  leave(ms?: number): Promise<void>
}

/** Reads a configuration the way the program does: from a file. */
export async function readConfig(written: WrittenConfig): Promise<BridgeConfig> {
  await using folder = await tempFolder()
  const file = join(folder.path, 'bridge.json')
  await writeFile(file, JSON.stringify(written))
  return loadConfig({ file, env: {} }).config
}

/** Starts a bridge as the program does, but for signals and the HTTP port; waits until it is ready unless told not to. */
export async function startBridgeHere(
  written: WrittenConfig,
  options: { readonly waitUntilReady?: boolean } = {},
): Promise<BridgeHere> {
  const config = await readConfig(written)
  const { logger, lines } = logCollector()
  const bridge = new Bridge(config, { log: () => logger, clock: systemClock, version: '0.0.0' })
  const { jwt, creds, seed, password } = config.nats.auth
  const secrets = [jwt, creds, seed, password, config.mqtt.password]
  const files = secrets.flatMap((secret) => (secret?.file === undefined ? [] : [secret.file]))
  const watcher = watchFiles(files, () => bridge.secretsChanged(), { interval: 100 })
  const metrics = new Metrics(() => bridge.report(), {
    now: () => Date.now(),
    revision: '',
    logCounts: { debug: 0, info: 0, warn: 0, error: 0 },
    config: () => ({ hash: '', lastReloadOk: true, lastReloadOkAt: 0 }),
  })

  const report = () => bridge.report()
  const routes = (direction: Direction) =>
    report().routes.filter((route) => route.direction === direction)
  const reasons = () => report().reasons.join('; ')

  async function leave(ms = 5_000): Promise<void> {
    watcher.stop()
    await bridge.drain(ms)
    await bridge.stop()
  }

  const here: BridgeHere = {
    bridge,
    config,
    lines,
    report,
    books(direction, name = '#') {
      const found = routes(direction).find((route) => route.name === name)
      if (found === undefined) throw new Error(`no books of '${name}' ${direction}`)
      return found.books
    },
    dropped(direction) {
      const sums: Partial<Record<DropReason, number>> = {}
      for (const { books } of routes(direction)) {
        for (const [at, reason] of DROP_REASONS.entries()) {
          const count = books.dropped[at] ?? 0
          if (count > 0) sums[reason] = (sums[reason] ?? 0) + count
        }
      }
      return sums
    },
    unbalanced: () =>
      report().routes.flatMap(({ name, direction, books }) =>
        books.imbalance === 0 ? [] : [`${name} ${direction}: ${books.imbalance}`],
      ),
    status: () => toStatusJson(report()),
    metric: async (name, labels = {}) => sumMetric((await metrics.render()).body, name, labels),
    async untilReady(deadline = 10_000) {
      const check = () => {
        if (!report().ready) throw new Error(reasons())
        return true
      }
      await eventually('the bridge to be ready', check, { deadline })
    },
    untilReason: (pattern, deadline = 10_000) =>
      eventually(
        `a reason like ${String(pattern)}`,
        () => {
          const found = report().reasons.find((reason) => pattern.test(reason))
          if (found === undefined) throw new Error(`reasons: ${reasons()}`)
          return found
        },
        { deadline },
      ),
    leave,
    async [Symbol.asyncDispose]() {
      watcher.stop()
      await bridge.stop()
    },
  }
  await bridge.start()
  watcher.start()
  try {
    if (options.waitUntilReady !== false) await here.untilReady()
  } catch (error) {
    await here[Symbol.asyncDispose]()
    throw error
  }
  return here
}
