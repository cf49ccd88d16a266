import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Child, type Ending, startChild } from './child.ts'
import { eventually } from './eventually.ts'
import { freePort } from './ports.ts'
import { tempFolder } from './temp.ts'

const ROOT = join(import.meta.dirname, '../..')

/** How to start the built program. */
export interface BridgeOptions {
  /** The configuration as written by an operator; `http.listen` is set to a free port unless it names one. */
  readonly config: Readonly<Record<string, unknown>>
  /** Variables on top of the ones of this process; undefined takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Options of Node, for instance `--max-old-space-size=100`. */
  readonly nodeArgs?: readonly string[]
  /** Words after `run --config FILE`. */
  readonly args?: readonly string[]
  /** Wait for `/readyz` before resolving, true unless given. */
  readonly waitUntilReady?: boolean
  /** Milliseconds to wait for it, 20,000 unless given. */
  readonly deadline?: number
  /** The program, `dist/main.js` unless given. */
  readonly program?: string
}

/** One line of the bridge's log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly msg?: string }

/** What `/status` says, as far as tests read it. */
export interface BridgeStatus {
  readonly ready: boolean
  readonly reasons: readonly string[]
  readonly connections: Readonly<Record<'mqtt' | 'nats', { readonly state: string }>>
  readonly routes: readonly RouteStatus[]
}

export interface RouteStatus {
  readonly name: string
  readonly direction: string
  readonly delivery: string
  readonly received: number
  readonly forwarded: number
  readonly filtered: number
  readonly dropped: Readonly<Record<string, number>>
  readonly deadLettered: number
  readonly inFlight: number
}

/** A running bridge. */
export interface BridgeProcess extends AsyncDisposable {
  pid(): number
  /** Base of the endpoints: `http://127.0.0.1:<port>`. */
  readonly url: string
  readonly configFile: string
  status(): Promise<BridgeStatus>
  /** Prometheus text. */
  metrics(): Promise<string>
  /** Value of one metric, summed over its label sets that contain all these labels; undefined when there is none. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number | undefined>
  /** Whether `/readyz` answers 200 now. */
  ready(): Promise<boolean>
  /** Waits for `/readyz` 200; throws at once when the process has ended. */
  untilReady(deadline?: number): Promise<void>
  /** Log lines so far, parsed from standard output over all starts; lines that are not JSON are left out. */
  logs(): LogLine[]
  stdout(): string
  stderr(): string
  /** Writes the configuration file anew. */
  configure(config: Readonly<Record<string, unknown>>): Promise<void>
  signal(signal: NodeJS.Signals): void
  /** Resolves when the process is gone. */
  ended(): Promise<Ending>
  /** SIGTERM; resolves to how it ended. SIGKILL after 20 s. */
  stop(): Promise<Ending>
  kill(): Promise<Ending>
  /** Starts it again after `stop()` or `kill()`, with the same file and port. */
  restart(): Promise<void>
  /** Resident memory, bytes, as the operating system counts it. */
  rss(): Promise<number>
}

/** Starts the built bridge (`npm run build` first) with a configuration of its own. */
export async function startBridge(options: BridgeOptions): Promise<BridgeProcess> {
  const folder = await tempFolder()
  const http = options.config['http'] as { listen?: string } | undefined
  const listen = http?.listen ?? `127.0.0.1:${await freePort()}`
  const url = `http://${listen}`
  const configFile = join(folder.path, 'bridge.json')
  const program = options.program ?? join(ROOT, 'dist/main.js')
  const args = [...(options.nodeArgs ?? []), program, 'run', '--config', configFile]
  const earlier: Child[] = []
  let child: Child

  async function configure(config: Readonly<Record<string, unknown>>): Promise<void> {
    const text = JSON.stringify({ ...config, http: { listen, ...(config['http'] as object) } })
    await writeFile(configFile, text)
  }

  async function launch(): Promise<void> {
    const env = { ...process.env, ...options.env }
    child = await startChild(process.execPath, [...args, ...(options.args ?? [])], {
      env,
      cwd: folder.path,
    })
    earlier.push(child)
    if (options.waitUntilReady !== false) await untilReady(options.deadline)
  }

  async function ready(): Promise<boolean> {
    const answer = await fetch(`${url}/readyz`)
    await answer.body?.cancel()
    return answer.status === 200
  }

  async function untilReady(deadline = 20_000): Promise<void> {
    let end: Ending | undefined
    const check = async () => {
      end = child.ending()
      return end !== undefined || (await ready())
    }
    try {
      await eventually('the bridge to be ready', check, { deadline, interval: 20 })
    } catch (error) {
      const reasons = await text('/readyz').catch(String)
      throw new Error(`${String(error)}; /readyz: ${reasons}\n${tail(child)}`, { cause: error })
    }
    if (end) throw new Error(`the bridge ended with ${end.code ?? end.signal}\n${tail(child)}`)
  }

  async function text(path: string): Promise<string> {
    return (await fetch(`${url}${path}`)).text()
  }

  const stdout = () => earlier.map((c) => c.stdout()).join('')

  await configure(options.config)
  const bridge: BridgeProcess = {
    pid: () => child.pid,
    url,
    configFile,
    status: async () => JSON.parse(await text('/status')) as BridgeStatus,
    metrics: () => text('/metrics'),
    metric: async (name, labels) => sumMetric(await text('/metrics'), name, labels ?? {}),
    ready: () => ready().catch(() => false),
    untilReady,
    logs: () => parseLogs(stdout()),
    stdout,
    stderr: () => earlier.map((c) => c.stderr()).join(''),
    configure,
    signal: (signal) => child.signal(signal),
    ended: () => child.ended,
    stop: () => child.stop('SIGTERM', 20_000),
    kill: () => child.kill(),
    restart: launch,
    rss: () => residentMemory(child.pid),
    async [Symbol.asyncDispose]() {
      await child.kill()
      await folder[Symbol.asyncDispose]()
    },
  }
  try {
    await launch()
  } catch (error) {
    for (const each of earlier) await each.kill()
    throw error
  }
  return bridge
}

function tail(child: Child): string {
  return `${child.stdout().slice(-3000)}${child.stderr().slice(-3000)}`
}

/** The JSON objects among the lines of a text. */
export function parseLogs(text: string): LogLine[] {
  return text.split('\n').flatMap((line): LogLine[] => {
    if (!line.startsWith('{')) return []
    try {
      return [JSON.parse(line) as LogLine]
    } catch {
      return []
    }
  })
}

/** Adds up the samples of a metric in Prometheus text whose labels include the given ones. */
export function sumMetric(
  text: string,
  name: string,
  labels: Readonly<Record<string, string>>,
): number | undefined {
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`)
  let sum: number | undefined
  for (const line of text.split('\n')) {
    const [, sample, labelText = '', value] = /^([\w:]+)(?:\{(.*)\})? (\S+)/.exec(line) ?? []
    if (sample !== name || !wanted.every((w) => `,${labelText}`.includes(`,${w}`))) continue
    sum = (sum ?? 0) + Number(value)
  }
  return sum
}

async function residentMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
}

/** Received = forwarded + filtered + dropped + dead-lettered + in flight, for every route; the ones that do not balance, in words. */
export function unbalanced(status: BridgeStatus): string[] {
  return status.routes.flatMap((route) => {
    const dropped = Object.values(route.dropped).reduce((sum, n) => sum + n, 0)
    const settled = route.forwarded + route.filtered + dropped + route.deadLettered
    const sum = settled + route.inFlight
    if (sum === route.received) return []
    return [`${route.name} ${route.direction}: received ${route.received}, accounted for ${sum}`]
  })
}
