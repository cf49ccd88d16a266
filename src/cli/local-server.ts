import { spawn } from 'node:child_process'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BridgeError } from '../core/errors.ts'

/** Milliseconds the server has to listen, and later to end. */
const START_TIME = 10_000
const STOP_TIME = 5_000
/** Characters of what the server says that are kept, for when it fails. */
const MAX_SAID = 4_000
const HOST = '127.0.0.1'
/** Ports tried above the usual one. */
const ATTEMPTS = 100

/**
 * Runs the server of its arguments until standard input ends, then removes the folder named first, if any.
 * Standard input ends with this process, however that ends, so that no server is left without its owner.
 */
const GUARD = `
remove=$1; shift
exec 3<&0
"$@" </dev/null 3<&- & server=$!
{ cat <&3 >/dev/null; kill "$server"; } 2>/dev/null & watch=$!
wait "$server"; code=$?
kill "$watch" 2>/dev/null
[ -z "$remove" ] || rm -rf "$remove"
exit "$code"
`

/** How to start a nats-server. */
export interface LocalServerOptions {
  readonly program: string
  readonly port: number
  /** Folder of the streams; without one a temporary folder, removed at the end. */
  readonly data?: string
}

/** A nats-server with JetStream on this machine. */
export interface LocalServer {
  readonly url: string
  readonly data: string
  /** Resolves with the reason when it ended by itself. */
  readonly ended: Promise<BridgeError>
  /** Ends it, waits until it is gone, and removes the temporary folder. */
  stop(): Promise<void>
}

/** The first port of 127.0.0.1 from `wanted` on that nobody listens on. Throws `BridgeError` LISTEN_FAILED. */
export async function freePortFrom(wanted: number): Promise<number> {
  for (let port = wanted; port < Math.min(wanted + ATTEMPTS, 65_536); port++) {
    if (await isFree(port)) return port
  }
  const text = `finding a port: none is free from ${wanted} to ${wanted + ATTEMPTS - 1}`
  throw new BridgeError(text, { code: 'LISTEN_FAILED' })
}

/** Starts a nats-server; resolves when it listens. Throws `BridgeError` TOOL_MISSING when it does not. */
export async function startLocalServer(options: LocalServerOptions): Promise<LocalServer> {
  const { program, port } = options
  const kept = options.data === undefined ? undefined : resolve(options.data)
  const data = kept ?? (await mkdtemp(join(tmpdir(), 'mqtt-nats-bridge-demo-')))
  await mkdir(data, { recursive: true })
  const remove = kept === undefined ? data : ''
  const server = [
    program,
    '--addr',
    HOST,
    '--port',
    String(port),
    '--jetstream',
    '--store_dir',
    data,
  ]
  // in a process group of its own, so that Ctrl-C reaches the bridge alone, which then ends the server in order
  const child = spawn('sh', ['-c', GUARD, 'sh', remove, ...server], {
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-MAX_SAID)
  })
  // it may be gone when its input ends
  child.stdin.on('error', () => undefined)
  const gone = new Promise<BridgeError>((done) => {
    child.once('error', (cause) => done(failure(cause.message, cause)))
    child.once('close', (code, signal) =>
      done(failure(`it ended with ${code ?? signal}: ${lastLine(said)}`)),
    )
  })
  const stop = async (): Promise<void> => {
    child.stdin.end()
    await Promise.race([gone, sleep(STOP_TIME, undefined, { ref: false })])
  }
  const failed = await Promise.race([gone, listens(port).catch((error: BridgeError) => error)])
  if (failed !== undefined) {
    await stop()
    throw failed
  }
  return { url: `nats://${HOST}:${port}`, data, ended: gone, stop }
}

async function listens(port: number): Promise<void> {
  const deadline = performance.now() + START_TIME
  while (!(await accepts(port))) {
    if (performance.now() > deadline) throw failure('it does not listen')
    await sleep(20)
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, HOST)
    socket.once('connect', () => {
      done(true)
      socket.destroy()
    })
    socket.once('error', () => done(false))
  })
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer()
    server.once('error', () => done(false))
    server.listen({ port, host: HOST, exclusive: true }, () => server.close(() => done(true)))
  })
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}

function failure(text: string, cause?: unknown): BridgeError {
  return new BridgeError(`starting nats-server: ${text}`, { code: 'TOOL_MISSING', cause })
}
