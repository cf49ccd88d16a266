import { fork, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Milliseconds a process has to leave after SIGTERM. */
const LEAVE_WITHIN = 5000
/** Characters of output kept of each process, for the message when it fails. */
const OUTPUT_KEPT = 2000

/**
 * Processes and folders that exist now, so that none outlives this one.
 *
 * @type {Set<import('node:child_process').ChildProcess>}
 */
const liveChildren = new Set()
/** @type {Set<string>} */
const liveFolders = new Set()
process.on('exit', () => {
  for (const child of liveChildren) child.kill('SIGKILL')
  for (const folder of liveFolders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

/**
 * One process of a measurement.
 *
 * @typedef {{ name: string, pid: number, child: import('node:child_process').ChildProcess }} Actor
 */

/**
 * The processes and the folder of one measurement. When a process ends before `end()`, `signal` is
 * aborted with an error that says which and what it printed last.
 */
export class Stage {
  #aborter = new AbortController()
  /** @type {Actor[]} */
  #actors = []
  #isEnding = false
  folder = mkdtempSync(join(tmpdir(), 'mqtt-nats-bench-'))

  constructor() {
    liveFolders.add(this.folder)
  }

  get signal() {
    return this.#aborter.signal
  }

  /**
   * Starts a program.
   *
   * @param {string} name
   * @param {string} command
   * @param {string[]} args
   */
  start(name, command, args) {
    const child = spawn(command, args, { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] })
    return this.#watch(name, child)
  }

  /**
   * Starts a module of this folder with an IPC channel; `config` is its argument.
   *
   * @param {string} name
   * @param {string} file relative to this file
   * @param {unknown} config
   */
  fork(name, file, config) {
    const path = fileURLToPath(new URL(file, import.meta.url))
    const child = fork(path, [JSON.stringify(config)], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    // Node keeps messages for the first listener; without one here, a later one would get old answers.
    child.on('message', () => undefined)
    return this.#watch(name, child)
  }

  /**
   * @param {string} name
   * @param {import('node:child_process').ChildProcess} child
   * @returns {Actor}
   */
  #watch(name, child) {
    let output = ''
    const keep = (/** @type {Buffer} */ chunk) => {
      output = (output + chunk).slice(-OUTPUT_KEPT)
    }
    child.stdout?.on('data', keep)
    child.stderr?.on('data', keep)
    child.on('error', (error) => this.#fail(new Error(`starting '${name}'`, { cause: error })))
    child.on('close', (code, signal) => {
      liveChildren.delete(child)
      const how = signal ?? `code ${code}`
      this.#fail(new Error(`running '${name}': ended with ${how}: ${output.trim()}`))
    })
    liveChildren.add(child)
    const actor = { name, pid: child.pid ?? 0, child }
    this.#actors.push(actor)
    return actor
  }

  /** @param {Error} error */
  #fail(error) {
    if (!this.#isEnding) this.#aborter.abort(error)
  }

  /** Ends every process, last started first, and removes the folder. */
  async end() {
    this.#isEnding = true
    this.#aborter.abort(new Error('ending the measurement'))
    for (const actor of this.#actors.toReversed()) await ended(actor.child)
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
    liveFolders.delete(this.folder)
  }
}

/** @param {import('node:child_process').ChildProcess} child */
async function ended(child) {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const closed = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), LEAVE_WITHIN)
  await closed
  clearTimeout(force)
}

/**
 * Ports nobody listens on, all different.
 *
 * @param {number} count
 * @returns {Promise<number[]>}
 */
export async function freePorts(count) {
  const servers = Array.from({ length: count }, () => net.createServer())
  const ports = servers.map(
    (server) =>
      /** @type {Promise<number>} */ (
        new Promise((resolve, reject) => {
          server.once('error', reject)
          server.listen(0, '127.0.0.1', () => {
            const address = /** @type {net.AddressInfo} */ (server.address())
            resolve(address.port)
          })
        })
      ),
  )
  const numbers = await Promise.all(ports)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return numbers
}

/**
 * Asks until the answer is not undefined.
 *
 * @template T
 * @param {string} name what is waited for, for the error
 * @param {AbortSignal} signal
 * @param {() => Promise<T | undefined> | T | undefined} ask
 * @param {{ every?: number, deadline?: number }} [times] milliseconds
 * @returns {Promise<T>}
 */
export async function until(name, signal, ask, { every = 50, deadline = 20_000 } = {}) {
  const endAt = performance.now() + deadline
  while (performance.now() < endAt) {
    signal.throwIfAborted()
    const answer = await ask()
    if (answer !== undefined) return answer
    await pause(every)
  }
  throw new Error(`waiting for '${name}': not within ${deadline} ms`)
}

/** @param {number} ms */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** @param {number} port */
export function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(undefined))
  })
}
