import { announce } from './announce.ts'
import { Bridge, checkRoutes } from './bridge.ts'
import { filesOf } from './config/describe.ts'
import { ConfigInForce } from './config/in-force.ts'
import { type ConfigInput, type LoadedConfig, loadConfig } from './config/load.ts'
import { problemsOf } from './config/problems.ts'
import { type FileWatcher, watchFiles } from './config/watch.ts'
import type { Decision, DecisionListener } from './core/decision.ts'
import { type BridgeError, type Problem, toBridgeError } from './core/errors.ts'
import type { Clock, Logger, Part } from './core/ports.ts'
import type { BridgeReport } from './core/status.ts'
import { subjectToTopicLossy } from './mapping/codec.ts'
import { matchSubject, matchTopic, validFilter } from './mapping/filters.ts'
import { opsEndpoints } from './ops/endpoints.ts'
import { HttpServer } from './ops/http.ts'
import { createLogger, type LineStream, type RootLogger } from './ops/logger.ts'
import { Metrics } from './ops/metrics.ts'
import { TapFeed } from './ops/tap.ts'

/** What the daemon is given by the process. */
export interface DaemonDeps {
  readonly input: ConfigInput
  readonly version: string
  readonly clock: Clock
  /** Where the log goes. */
  readonly stream: LineStream
  /** Whether people read it, on a terminal: then `log.format: auto` is pretty. */
  readonly isTTY: boolean
  readonly colour: boolean
  /** Told of every message decided about, besides `/tap`. */
  readonly onDecision?: DecisionListener
}

/** Milliseconds a drain may take after a failure nobody expected. */
const LAST_DRAIN = 1_000
/** Timers of the bridge do not keep the process alive; this one does, whatever its length. */
const LONG = 2 ** 31 - 1

/** Reads the configuration and checks it whole, routes included. Throws like {@link loadConfig}. */
export function readConfig(input: ConfigInput): LoadedConfig {
  return loadConfig({ ...input, checkRoutes: (routes) => checkRoutes(routes).problems })
}

/** What is legal in the routes but surely not meant, with where it was written. */
export function routeWarnings({ config, sourceOf }: LoadedConfig): Problem[] {
  return checkRoutes(config.routes).warnings.map(({ path, text }) => ({
    path,
    text,
    source: sourceOf(path),
  }))
}

/** The bridge as a service: its log, its pages, its files watched, and an orderly end. */
export class Daemon implements Part {
  readonly #loaded: LoadedConfig
  readonly #deps: DaemonDeps
  readonly #logger: RootLogger
  readonly #log: Logger
  readonly #inForce: ConfigInForce
  readonly #bridge: Bridge
  readonly #metrics: Metrics
  readonly #feed: TapFeed
  readonly #http: HttpServer | undefined
  readonly #watcher: FileWatcher
  #alive: NodeJS.Timeout | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  /** @param loaded of {@link readConfig} */
  constructor(loaded: LoadedConfig, deps: DaemonDeps) {
    const { config, file } = loaded
    const { clock, stream, isTTY, colour, version } = deps
    const isPretty = config.log.format === 'auto' ? isTTY : config.log.format === 'pretty'
    this.#loaded = loaded
    this.#deps = deps
    this.#logger = createLogger({
      level: config.log.level,
      format: isPretty ? 'pretty' : 'json',
      stream,
      isTTY: colour,
      room: 'main',
    })
    this.#log = this.#logger.child('main')
    this.#inForce = new ConfigInForce(config, clock.now())
    this.#bridge = new Bridge(config, { log: (room) => this.#logger.child(room), clock, version })
    this.#metrics = new Metrics(() => this.#bridge.report(), {
      now: () => clock.now(),
      revision: '',
      logCounts: this.#logger.counts,
      config: () => this.#inForce.state,
    })
    this.#feed = new TapFeed({
      clock,
      listen: (listener) => this.#listen(listener),
      checkFilter: validFilter,
      matches: matchesDecision,
    })
    this.#http = this.#makeHttp()
    this.#watcher = watchFiles(filesOf(config, file), (path) => this.#fileChanged(path), {
      logger: this.#log,
    })
  }

  /** Begins to serve and to dial. Rejects when a port cannot be listened on; all is closed again then. */
  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  /** Settles what is in flight, up to `shutdownTimeout`, and leaves both sides in order. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop(this.#loaded.config.shutdownTimeout)
    return this.#stopping
  }

  /** Says why the end begins, and then does {@link stop}. */
  stopFor(signal: string): Promise<void> {
    this.#log.info({ signal }, 'stopping')
    return this.stop()
  }

  /** Ends after a failure nobody expected: said, then what is in flight gets a moment, and both sides are left. */
  fail(thrown: unknown): Promise<void> {
    this.#log.failure(toBridgeError(thrown), 'unexpected failure, stopping', 'error')
    this.#stopping ??= this.#stop(LAST_DRAIN)
    return this.#stopping
  }

  /** Reads the configuration again, as SIGHUP asks. A bad one changes nothing and is reported. */
  reload(): void {
    this.#bridge.secretsChanged()
    this.#readAgain()
  }

  report(): BridgeReport {
    return this.#bridge.report()
  }

  async #start(): Promise<void> {
    this.#alive = setInterval(() => undefined, LONG)
    const { version } = this.#deps
    const { config, file } = this.#loaded
    announce(config, { log: this.#log, version, file, warnings: routeWarnings(this.#loaded) })
    try {
      this.#metrics.start()
      await this.#http?.start()
      this.#listen(undefined)
      await this.#bridge.start()
      this.#watcher.start()
    } catch (thrown) {
      this.#log.failure(toBridgeError(thrown), 'starting failed', 'error')
      await this.#stop(0)
      throw thrown
    }
  }

  async #stop(drainFor: number): Promise<void> {
    this.#watcher.stop()
    await this.#bridge.drain(drainFor)
    const left = this.#bridge.report().flows.reduce((sum, { inFlight }) => sum + inFlight, 0)
    if (left > 0) {
      this.#log.warn({ inFlight: left }, 'drain cut short, the rest is delivered next time')
    }
    await this.#bridge.stop()
    this.#feed.stop()
    await this.#http?.stop()
    clearInterval(this.#alive)
    this.#log.info({}, 'stopped')
  }

  #makeHttp(): HttpServer | undefined {
    const { http } = this.#loaded.config
    if (http === undefined) return undefined
    const pages = opsEndpoints(() => this.#bridge.report(), this.#metrics)
    return new HttpServer(http, { ...pages, '/tap': this.#feed.handler }, this.#logger.child('ops'))
  }

  /** Whoever watches through the page comes on top of who watches inside the process. */
  #listen(listener: DecisionListener | undefined): void {
    const { onDecision } = this.#deps
    if (onDecision === undefined || listener === undefined) {
      this.#bridge.tap(listener ?? onDecision)
      return
    }
    this.#bridge.tap((decision, view) => {
      onDecision(decision, view)
      listener(decision, view)
    })
  }

  #fileChanged(path: string): void {
    if (path === this.#loaded.file) {
      this.#readAgain()
      return
    }
    this.#log.info({ file: path }, 'file changed')
    this.#bridge.secretsChanged()
  }

  #readAgain(): void {
    try {
      const { config, file } = readConfig(this.#deps.input)
      const { pending, level } = this.#inForce.take(config, this.#deps.clock.now())
      if (level !== undefined) this.#logger.setLevel(level)
      this.#log.info({ file }, 'configuration read again')
      if (pending.length > 0) {
        this.#log.warn({ settings: pending }, 'changed settings take effect at the next start')
      }
    } catch (thrown) {
      this.#inForce.refuse()
      this.#refused(toBridgeError(thrown))
    }
  }

  #refused(error: BridgeError): void {
    const problems = problemsOf(error).map(
      ({ path, source, text }) => `${path} (${source}) ${text}`,
    )
    const { code, message, hint } = error
    const what = 'configuration read again and refused, the one before stays in force'
    if (problems.length === 0) this.#log.failure(error, what, 'error')
    else this.#log.error({ code, problems, error: message, hint }, what)
  }
}

/** A filter is meant for the topic, or for the subject in either notation. */
function matchesDecision(filter: string, { direction, name, address }: Decision): boolean {
  const [topic, subject] = direction === 'mqttToNats' ? [name, address] : [address, name]
  return (
    matchTopic(filter, topic) ||
    matchSubject(filter, subject) ||
    matchTopic(filter, subjectToTopicLossy(subject))
  )
}
