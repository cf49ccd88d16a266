import { pbkdf2Sync, randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type Child, startChild } from './child.ts'
import { eventually } from './eventually.ts'
import type { ServerTls } from './nats-server.ts'
import { freePort } from './ports.ts'
import { tempFolder } from './temp.ts'
import { mosquittoProgram } from './tools.ts'

/** What kind of Mosquitto to start. */
export interface MosquittoOptions {
  /** More configuration lines, put at the end of the file. */
  readonly config?: string
  /** Keep sessions and retained messages over `restart()`. A broker killed by SIGKILL remembers what it last saved: see `save()`. */
  readonly persistence?: boolean
  readonly tls?: ServerTls
  /** Passwords by user name; without any, everybody may connect. */
  readonly users?: Readonly<Record<string, string>>
  /** `max_queued_messages` per session, 0 (no limit) unless given: messages above it are dropped silently. */
  readonly queue?: number
  readonly port?: number
}

/** A Mosquitto of its own on a free port of 127.0.0.1. */
export interface Mosquitto extends AsyncDisposable {
  /** `mqtt://` or, with TLS, `mqtts://`; host `localhost` so that certificates fit. */
  readonly url: string
  readonly port: number
  readonly storeDir: string
  readonly configFile: string
  /** Of the process running now; changes with `restart()`. */
  pid(): number
  /** SIGTERM and wait; what is to persist is saved. */
  stop(): Promise<void>
  /** SIGKILL and wait. */
  kill(): Promise<void>
  /** Starts again (stopping first if need be) with the same port, folder and configuration file. */
  restart(): Promise<void>
  signal(signal: NodeJS.Signals): void
  /** Makes the broker write its sessions to disk now, and waits until they are there. */
  save(): Promise<void>
  /** Everything logged so far, over restarts. */
  log(): string
}

/** Starts a Mosquitto; resolves when it accepts connections. */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const program = await mosquittoProgram()
  const folder = await tempFolder()
  const port = options.port ?? (await freePort())
  const storeDir = join(folder.path, 'store')
  const configFile = join(folder.path, 'mosquitto.conf')
  await mkdir(storeDir, { recursive: true })
  const passwordFile = join(folder.path, 'passwords')
  if (options.users) await writeFile(passwordFile, passwords(options.users), { mode: 0o600 })
  await writeFile(configFile, configText(options, { port, storeDir, passwordFile }))

  const logs: string[] = []
  let child: Child | undefined

  async function start(): Promise<void> {
    const started = await startChild(program, ['-c', configFile])
    child = started
    await eventually(`mosquitto on port ${port}`, () => {
      if (started.ending() !== undefined) throw new Error(started.stderr().slice(-1500))
      return accepts(port)
    }).catch(async (error: unknown) => {
      await started.kill()
      throw error
    })
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child === undefined) return
    const ended = child
    child = undefined
    await ended.stop(signal)
    logs.push(ended.stderr())
  }

  // Written beside and renamed into place: another file is a whole one.
  const saved = () => statSync(join(storeDir, 'mosquitto.db'), { throwIfNoEntry: false })?.ino

  await start()
  return {
    url: `${options.tls ? 'mqtts' : 'mqtt'}://localhost:${port}`,
    port,
    storeDir,
    configFile,
    pid: () => child?.pid ?? 0,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    async restart() {
      await end('SIGTERM')
      await start()
    },
    signal: (signal) => child?.signal(signal),
    async save() {
      const before = saved()
      child?.signal('SIGUSR1')
      await eventually('mosquitto to have saved', () => saved() !== before)
    },
    log: () => logs.join('') + (child?.stderr() ?? ''),
    async [Symbol.asyncDispose]() {
      await end('SIGKILL')
      await folder[Symbol.asyncDispose]()
    },
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('close', () => socket.destroy())
    socket.once('connect', () => socket.destroy())
  })
}

function configText(
  options: MosquittoOptions,
  at: { port: number; storeDir: string; passwordFile: string },
): string {
  const { tls } = options
  const lines = [
    `listener ${at.port} 127.0.0.1`,
    `max_queued_messages ${options.queue ?? 0}`,
    'log_dest stderr',
    'log_type all',
    options.users ? `password_file ${at.passwordFile}` : 'allow_anonymous true',
  ]
  // Started as root it would give up root and then not be able to read its own folder.
  if (process.getuid?.() === 0) lines.push('user root')
  if (options.persistence) lines.push('persistence true', `persistence_location ${at.storeDir}/`)
  if (tls) lines.push(`certfile ${tls.certFile}`, `keyfile ${tls.keyFile}`)
  if (tls?.caFile) lines.push(`cafile ${tls.caFile}`)
  if (tls?.verify) lines.push('require_certificate true')
  if (options.config) lines.push(options.config)
  return `${lines.join('\n')}\n`
}

/** Mosquitto's password file, format `$7$`: PBKDF2 with SHA-512. */
function passwords(users: Readonly<Record<string, string>>): string {
  const lines = Object.entries(users).map(([name, password]) => {
    const salt = randomBytes(12)
    const hash = pbkdf2Sync(password, salt, 101, 64, 'sha512')
    return `${name}:$7$101$${salt.toString('base64')}$${hash.toString('base64')}\n`
  })
  return lines.join('')
}
