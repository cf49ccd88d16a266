import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { atEnd } from './at-end.ts'
import { deferred } from './deferred.ts'
import { within } from './eventually.ts'

const children = new Set<ChildProcess>()

function killAll(): void {
  for (const child of children) child.kill('SIGKILL')
}

atEnd(killAll)

// Asks the kernel to kill the child when its parent dies, however that happens. It keeps the pid.
const SETPRIV = '/usr/bin/setpriv'
const WRAPPER =
  process.platform === 'linux' && existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'KILL', '--'] : []

/** How a process ended: its exit code, or the signal that ended it. */
export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A running child process, with everything it wrote so far. */
export interface Child {
  readonly pid: number
  /** Resolves when the process is gone; never rejects. */
  readonly ended: Promise<Ending>
  /** Undefined while it runs. */
  ending(): Ending | undefined
  stdout(): string
  stderr(): string
  signal(signal: NodeJS.Signals): void
  /** Sends SIGTERM (or the signal given) and waits; SIGKILL after `patience` ms (10,000). */
  stop(signal?: NodeJS.Signals, patience?: number): Promise<Ending>
  /** SIGKILL, and waits until the process is gone. */
  kill(): Promise<Ending>
}

/** Starts a program that dies with this process at the latest. */
export async function startChild(
  program: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<Child> {
  const [command = program, ...rest] = [...WRAPPER, program, ...args]
  const child = spawn(command, rest, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  const spawned = deferred()
  const end = deferred<Ending>()
  let ending: Ending | undefined
  const written = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    written.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    written.stderr += text
  })
  child.once('spawn', () => spawned.resolve())
  child.once('error', (error) => spawned.reject(error))
  child.once('close', (code, signal) => {
    ending = { code, signal }
    children.delete(child)
    end.resolve(ending)
  })
  await spawned.promise

  async function stop(signal: NodeJS.Signals = 'SIGTERM', patience = 10_000): Promise<Ending> {
    if (ending !== undefined) return ending
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), patience)
    const result = await end.promise
    clearTimeout(timer)
    return result
  }

  return {
    pid: child.pid ?? 0,
    ended: end.promise,
    ending: () => ending,
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    signal: (signal) => void child.kill(signal),
    stop,
    kill: () => stop('SIGKILL'),
  }
}

/** Runs a program to its end and resolves to what it printed; rejects unless it exits with 0. */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string; patience?: number } = {},
): Promise<{ stdout: string; stderr: string }> {
  const child = await startChild(program, args, options)
  const name = `'${program} ${args.join(' ')}'`
  const { code, signal } = await within(name, options.patience ?? 60_000, child.ended)
  if (code !== 0) {
    const said = (child.stderr() || child.stdout()).trim().slice(-2000)
    throw new Error(`running ${name}: ended with ${code ?? signal}: ${said}`)
  }
  return { stdout: child.stdout(), stderr: child.stderr() }
}
