#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { setFlagsFromString } from 'node:v8'
import { runProgram } from './cli/program.ts'
import type { Terminal } from './cli/terminal.ts'
import { makeCommands, type StopOptions, settingFlags } from './commands.ts'
import { nearest } from './config/nearest.ts'
import { ENV_CONFIG_FILE } from './config/paths.ts'
import { formatProblems, problemsOf } from './config/problems.ts'
import { systemClock } from './core/clock.ts'
import { type BridgeError, type ErrorCode, toBridgeError } from './core/errors.ts'

/** Failures that end in exit code 2: wrong usage or configuration. */
const USAGE_ERRORS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'USAGE',
  'CONFIG_INVALID',
  'CONFIG_UNREADABLE',
])
const SECOND_SIGNAL = { SIGINT: 130, SIGTERM: 143 } as const
type StopSignal = keyof typeof SECOND_SIGNAL

/** Milliseconds that ending in order may take after a failure nobody expected. */
const LAST_CHANCE = 5_000

const stopping = new AbortController()
let failing = false
let endInOrder: ((thrown: unknown) => Promise<void>) | undefined

const terminal: Terminal = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  colour: process.stdout.isTTY === true && !process.env['NO_COLOR'],
}

/** Begins to take SIGINT and SIGTERM: the first one aborts, the second one ends the process at once. */
function stopSignal({ gather = 0, alsoWithTerminal = false }: StopOptions = {}): AbortSignal {
  let first = 0
  for (const name of ['SIGINT', 'SIGTERM'] as const satisfies readonly StopSignal[]) {
    process.on(name, () => {
      const now = performance.now()
      if (!stopping.signal.aborted) {
        first = now
        stopping.abort(name)
      } else if (now - first > gather) process.exit(SECOND_SIGNAL[name])
    })
  }
  if (alsoWithTerminal) {
    process.on('SIGHUP', () => stopping.abort('SIGHUP'))
    process.stdout.on('error', () => stopping.abort('SIGPIPE'))
  }
  return stopping.signal
}

/** Ends a process in which something failed that nobody expected: in order if that works, soon in any case. */
function onUnexpected(thrown: unknown): void {
  if (failing) return
  failing = true
  setTimeout(() => process.exit(1), LAST_CHANCE).unref()
  if (endInOrder === undefined) report(toBridgeError(thrown))
  const ended = endInOrder?.(thrown) ?? Promise.resolve()
  ended.then(() => finish(1)).catch(() => process.exit(1))
}

/** Says what went wrong, for people, on standard error. */
function report(error: BridgeError): void {
  const problems = problemsOf(error)
  if (problems.length > 0) terminal.err(formatProblems(problems))
  else terminal.err(`mqtt-nats-bridge: ${error.message}\n  → ${error.hint}\n`)
}

/** Ends the process when everything written has left it. */
function finish(code: number): void {
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
}

async function main(): Promise<number> {
  // what a message leaves behind dies at once: a young generation that grows costs memory and saves nothing
  setFlagsFromString('--semi-space-growth-factor=1')
  // a reader that went away: `check | head` is done, and a bridge goes on without its log
  process.stdout.on('error', () => undefined)
  process.stderr.on('error', () => undefined)
  process.on('uncaughtException', onUnexpected)
  process.on('unhandledRejection', onUnexpected)
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(manifest) as { version: string }
  const commands = makeCommands({
    terminal,
    version,
    clock: systemClock,
    env: process.env,
    isTTY: process.stdout.isTTY === true,
    input: () => process.stdin,
    stopSignal,
    onReload: (action) => void process.on('SIGHUP', action),
    onFailure: (action) => {
      endInOrder = action
    },
  })
  try {
    return await runProgram(process.argv.slice(2), {
      terminal,
      version,
      commands,
      nearest,
      settings: settingFlags(),
      configVariable: process.env[ENV_CONFIG_FILE],
    })
  } catch (thrown) {
    const error = toBridgeError(thrown)
    report(error)
    return USAGE_ERRORS.has(error.code) ? 2 : 1
  }
}

main().then(finish, onUnexpected)
