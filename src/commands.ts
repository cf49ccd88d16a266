import { setTimeout as sleep } from 'node:timers/promises'
import { printCheck } from './cli/check.ts'
import { PREVIEW_BYTES } from './cli/crossings.ts'
import { type DemoBridge, type DemoDeps, demo } from './cli/demo.ts'
import { printExplain } from './cli/explain.ts'
import type { SettingFlag } from './cli/help.ts'
import { type PasswordInput, readPassword } from './cli/password.ts'
import type { Commands, ConfigArguments } from './cli/program.ts'
import { tap } from './cli/tap.ts'
import type { Terminal } from './cli/terminal.ts'
import { describeConfig } from './config/describe.ts'
import type { ConfigInput } from './config/load.ts'
import { envName, flagName } from './config/paths.ts'
import { SETTING_PATHS, settingOf } from './config/schema.ts'
import { BridgeError } from './core/errors.ts'
import type { Clock, Logger } from './core/ports.ts'
import { Daemon, type DaemonDeps, readConfig, routeWarnings } from './daemon.ts'
import { currentStreams, examine } from './doctor.ts'
import { hashPassword } from './mqtt/embedded/users.ts'
import { explainName, guessDirection, planRoutes } from './preview.ts'

/** Which signals stop a command. */
export interface StopOptions {
  /** Milliseconds in which a second signal counts as the first; 0 unless given. */
  readonly gather?: number
  /** Whether the command also stops when its terminal, or the reader of its output, goes away. */
  readonly alsoWithTerminal?: boolean
}

/** The process, as far as commands see it. */
export interface ProcessPort {
  readonly terminal: Terminal
  readonly clock: Clock
  readonly version: string
  readonly env: NodeJS.ProcessEnv
  /** Whether standard output is a terminal. */
  readonly isTTY: boolean
  readonly input: () => PasswordInput
  /** Takes SIGINT and SIGTERM from now on; the reason of the abort is the name of the first one. */
  readonly stopSignal: (options?: StopOptions) => AbortSignal
  /** Calls back at each SIGHUP. */
  readonly onReload: (action: () => void) => void
  /** Registers who ends things in order after a failure nobody expected. */
  readonly onFailure: (action: (thrown: unknown) => Promise<void>) => void
}

/** Milliseconds in which a second signal of the demo counts as the first: npm passes on what the terminal sent too. */
const GATHER = 500
/** Milliseconds between looks whether the bridge is ready. */
const LOOK = 20

const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  failure: () => undefined,
}

/** What each command does, with all rooms at hand. */
export function makeCommands(port: ProcessPort): Commands {
  const { terminal, clock } = port
  const visit = { logger: SILENT, clock }
  return {
    run: async (config) => {
      const input = inputOf(config, port.env)
      const daemon = new Daemon(readConfig(input), deps(port, input))
      port.onFailure((thrown) => daemon.fail(thrown))
      port.onReload(() => daemon.reload())
      const signal = port.stopSignal()
      await daemon.start()
      await daemon.stopFor(await aborted(signal))
      return 0
    },
    demo: (config, { data }) => demo(data, demoDeps(config, port)),
    check: async (given, { connect, output }) => {
      const loaded = readConfig(inputOf(given, port.env))
      const { config, file } = loaded
      const report = {
        ...(file === undefined ? {} : { file }),
        configuration: describeConfig(config),
        routes: planRoutes(config),
        warnings: routeWarnings(loaded),
        ...(connect ? { connections: await examine(config, visit) } : {}),
      }
      return printCheck(report, output, terminal)
    },
    explain: async (given, { name, from, connect, output }) => {
      const { config, sourceOf } = readConfig(inputOf(given, port.env))
      const direction =
        from === undefined
          ? guessDirection(name)
          : ({ mqtt: 'mqttToNats', nats: 'natsToMqtt' } as const)[from]
      const streams = connect ? await currentStreams(config, visit) : undefined
      const report = explainName(config, direction, name, streams)
      const note = 'no routes are configured: the default route explains'
      const isDefault = sourceOf('routes') === 'default'
      printExplain(isDefault ? { ...report, note } : report, output, terminal)
      return 0
    },
    tap: (given, { filter, url, output }) => {
      const options = { url: url ?? pagesOf(given, port.env), output }
      const signal = port.stopSignal({ alsoWithTerminal: true })
      return tap(filter === undefined ? options : { ...options, filter }, terminal, signal)
    },
    hashPassword: async (name) => {
      const password = await readPassword(port.input(), (text) => terminal.err(text))
      terminal.out(`${await hashPassword(name, password)}\n`)
      return 0
    },
  }
}

/** Every setting as a flag of the command line. */
export function settingFlags(): readonly SettingFlag[] {
  return SETTING_PATHS.map((path) => {
    const { doc, preset, presetDoc } = settingOf(path)
    const written = typeof preset === 'object' ? '' : String(preset)
    return {
      path,
      flag: flagName(path),
      variable: envName(path),
      doc,
      preset: presetDoc ?? written,
    }
  })
}

function inputOf({ file, flags }: ConfigArguments, env: NodeJS.ProcessEnv): ConfigInput {
  return file === undefined ? { flags, env } : { file, flags, env }
}

function deps(port: ProcessPort, input: ConfigInput): DaemonDeps {
  const { clock, version, isTTY, terminal } = port
  const { colour } = terminal
  return { input, clock, version, isTTY, colour, stream: { write: (line) => terminal.out(line) } }
}

/** Resolves to the reason of the abort. */
function aborted(signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const tell = (): void => resolve(String(signal.reason))
    if (signal.aborted) tell()
    else signal.addEventListener('abort', tell, { once: true })
  })
}

/** Where the bridge of this configuration serves its pages. */
function pagesOf(given: ConfigArguments, env: NodeJS.ProcessEnv): string {
  const { http } = readConfig(inputOf(given, env)).config
  if (http === undefined || http.port === 0) {
    const text = 'finding the bridge: http.listen names no port to ask; give --url'
    throw new BridgeError(text, { code: 'USAGE' })
  }
  const anywhere: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }
  const host = anywhere[http.host] ?? http.host
  return `http://${host.includes(':') ? `[${host}]` : host}:${http.port}`
}

function demoDeps({ flags }: ConfigArguments, port: ProcessPort): DemoDeps {
  const { terminal, clock, env } = port
  const signal = port.stopSignal({ gather: GATHER, alsoWithTerminal: true })
  const startBridge: DemoDeps['startBridge'] = async (ports, onCrossing) => {
    const input: ConfigInput = {
      // what is set for another bridge must not leak into the demo
      env: {},
      flags: {
        'mqtt.url': 'embedded',
        'mqtt.embedded.listen': `127.0.0.1:${ports.mqtt}`,
        'nats.servers': `nats://127.0.0.1:${ports.nats}`,
        'http.listen': `127.0.0.1:${ports.http}`,
        'log.level': 'warn',
        'log.format': 'pretty',
        ...flags,
      },
    }
    const daemon = new Daemon(readConfig(input), {
      ...deps(port, input),
      stream: { write: (line) => terminal.err(line) },
      onDecision: (decision, { buffer, payloadStart, payloadEnd }) => {
        const end = Math.min(payloadEnd, payloadStart + PREVIEW_BYTES)
        if (decision.outcome === 'filtered') return
        onCrossing({ decision, payload: Buffer.from(buffer.subarray(payloadStart, end)) })
      },
    })
    port.onFailure((thrown) => daemon.fail(thrown))
    await daemon.start()
    return runningDemo(daemon, signal)
  }
  return { terminal, clock, env, signal, startBridge }
}

function runningDemo(daemon: Daemon, signal: AbortSignal): DemoBridge {
  return {
    ready: async () => {
      while (!daemon.report().ready && !signal.aborted) await sleep(LOOK)
    },
    stop: () => daemon.stop(),
  }
}
