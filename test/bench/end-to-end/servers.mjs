import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { accepts, until } from './stage.mjs'

/**
 * @typedef {import('./stage.mjs').Stage} Stage
 * @typedef {{ natsServer: string, mosquitto: string }} Tools
 */

/**
 * The programs that are measured with: `NATS_SERVER` and `MOSQUITTO` name them, else nats-server is
 * found the way the tests find it, and Mosquitto on the PATH and where Debian puts it.
 *
 * @returns {Promise<Tools>}
 */
export async function findTools() {
  const { NATS_SERVER, MOSQUITTO } = process.env
  return {
    natsServer: NATS_SERVER ?? (await findNatsServer()),
    mosquitto: MOSQUITTO ?? findMosquitto(),
  }
}

async function findNatsServer() {
  const lookup = new URL('../../../dist/cli/tools.js', import.meta.url)
  if (!existsSync(lookup))
    throw new Error("looking for tools: 'dist/cli/tools.js' is missing, run npm run build first")
  const tools = await import(lookup.href)
  const log = (/** @type {string} */ line) => process.stderr.write(`${line}\n`)
  return tools.findNatsServer({ env: process.env, log })
}

function findMosquitto() {
  const folders = `${process.env['PATH']}:/usr/sbin:/usr/local/sbin`.split(':')
  const found = folders.map((folder) => join(folder, 'mosquitto')).find(existsSync)
  if (found === undefined) throw new Error("looking for tools: 'mosquitto' is not installed")
  return found
}

/** @param {Tools} found */
export function versions({ natsServer, mosquitto }) {
  const natsLine = execFileSync(natsServer, ['-v'], { encoding: 'utf8' })
  return {
    natsServer: /v(\d\S*)/.exec(natsLine)?.[1] ?? 'unknown',
    mosquitto: /version (\S+)/.exec(mosquittoHelp(mosquitto))?.[1] ?? 'unknown',
  }
}

/** @param {string} mosquitto */
function mosquittoHelp(mosquitto) {
  try {
    return execFileSync(mosquitto, ['-h'], { encoding: 'utf8' })
  } catch (error) {
    // It prints its help and leaves with code 3.
    return String(/** @type {any} */ (error).stdout ?? '')
  }
}

/**
 * Starts a nats-server with JetStream on disk and its MQTT listener, the same for every peer.
 *
 * @param {Stage} stage
 * @param {Tools} found
 * @param {{ nats: number, natsMqtt: number }} ports
 */
export async function startNatsServer(stage, found, ports) {
  const file = join(stage.folder, 'nats-server.conf')
  const lines = [
    'server_name: bench',
    `listen: "127.0.0.1:${ports.nats}"`,
    `jetstream { store_dir: ${JSON.stringify(join(stage.folder, 'jetstream'))} }`,
    `mqtt { listen: "127.0.0.1:${ports.natsMqtt}" }`,
    '',
  ]
  writeFileSync(file, lines.join('\n'))
  const actor = stage.start('nats-server', found.natsServer, ['-c', file])
  await until('nats-server', stage.signal, () => accepts(ports.nats))
  await until('the MQTT listener of nats-server', stage.signal, () => accepts(ports.natsMqtt))
  return actor
}

/**
 * Starts a Mosquitto without limits that would drop; `more` are further lines of its configuration.
 *
 * @param {Stage} stage
 * @param {Tools} found
 * @param {number} port
 * @param {string[]} more
 */
export async function startMosquitto(stage, found, port, more) {
  const file = join(stage.folder, 'mosquitto.conf')
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'persistence false',
    'max_queued_messages 0',
    'max_inflight_messages 0',
    'log_dest stderr',
    'log_type error',
    'log_type warning',
    ...more,
    '',
  ]
  writeFileSync(file, lines.join('\n'))
  const actor = stage.start('mosquitto', found.mosquitto, ['-c', file])
  await until('mosquitto', stage.signal, () => accepts(port))
  return actor
}
