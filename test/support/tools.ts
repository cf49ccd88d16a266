import { execFile } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { findNatsServer, findOnPath, NATS_SERVER_VERSION } from '../../src/cli/tools.ts'

const exec = promisify(execFile)

type Log = (line: string) => void

let natsServer: Promise<string> | undefined
let mosquitto: Promise<string | undefined> | undefined

/** Path of the nats-server that tests run against: always version 2.12.3. Looked up once per process. */
export function natsServerProgram(log?: Log): Promise<string> {
  natsServer ??= findNatsServer({
    env: process.env,
    version: NATS_SERVER_VERSION,
    exact: true,
    ...(log && { log }),
  })
  return natsServer
}

/**
 * Path of mosquitto: from `PATH` or /usr/sbin, else installed from the distribution's packages where
 * that is possible (root, apt). Undefined when there is none. Looked up once per process.
 */
export function findMosquitto(log: Log = () => undefined): Promise<string | undefined> {
  mosquitto ??= lookUpMosquitto(log)
  return mosquitto
}

/** Like {@link findMosquitto}, but throws with a hint when there is none. */
export async function mosquittoProgram(): Promise<string> {
  const found = await findMosquitto()
  if (found === undefined) throw new Error(`finding mosquitto: not on PATH; ${MOSQUITTO_HINT}`)
  return found
}

export const MOSQUITTO_HINT = 'install mosquitto 2 (Debian: apt-get install mosquitto)'

async function lookUpMosquitto(log: Log): Promise<string | undefined> {
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin`
  const found = await findOnPath('mosquitto', path)
  if (found !== undefined) return found
  const apt = await findOnPath('apt-get', path)
  if (apt === undefined || process.getuid?.() !== 0) return undefined
  log('installing mosquitto with apt-get')
  try {
    await withoutServices(() => aptInstall(apt))
  } catch (error) {
    log(`installing mosquitto: ${error instanceof Error ? error.message : String(error)}`)
  }
  return findOnPath('mosquitto', path)
}

async function aptInstall(apt: string): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const install = ['install', '-y', '--no-install-recommends', 'mosquitto', 'mosquitto-clients']
  try {
    await exec(apt, install, { env })
  } catch {
    // Most often the package lists are missing, as in a fresh container.
    await exec(apt, ['update'], { env })
    await exec(apt, install, { env })
  }
}

const POLICY = '/usr/sbin/policy-rc.d'

/** Installing must not start the distribution's own broker: Debian asks this script before it does. */
async function withoutServices(work: () => Promise<void>): Promise<void> {
  if (existsSync(POLICY)) return work()
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await work()
  } finally {
    rmSync(POLICY, { force: true })
  }
}
