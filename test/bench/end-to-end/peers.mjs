import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from './stage.mjs'

/**
 * What a peer is told: where the servers are and what it has to carry.
 *
 * @typedef {{
 *   stage: import('./stage.mjs').Stage,
 *   ports: { mqtt: number, nats: number, natsMqtt: number, http: number },
 *   qos: 0 | 1,
 *   direction: 'both' | 'mqttToNats' | 'natsToMqtt',
 * }} PeerContext
 *
 * `mosquittoLines` are put into the broker's configuration, `start` starts a process of its own.
 * `stream` is where a QoS 1 message lies once the peer may acknowledge it, and `filter` its subjects.
 *
 * @typedef {{
 *   label: string,
 *   stream: string,
 *   mosquittoLines: (context: PeerContext) => string[],
 *   start: (context: PeerContext) => Promise<import('./stage.mjs').Actor | undefined>,
 * }} Peer
 */

const PROGRAM = fileURLToPath(new URL('../../../dist/main.js', import.meta.url))

/** @type {Record<'both' | 'mqttToNats' | 'natsToMqtt', string>} */
const MOSQUITTO_DIRECTION = { both: 'both', mqttToNats: 'out', natsToMqtt: 'in' }

/** @type {Record<'ours' | 'mosquitto' | 'plain', Peer>} */
export const PEERS = {
  ours: {
    label: 'mqtt-nats-bridge',
    stream: 'BENCH',
    mosquittoLines: () => [],
    start: startOurs,
  },
  mosquitto: {
    label: "Mosquitto's bridge",
    // nats-server answers a QoS 1 PUBLISH when this stream of its own has the message.
    stream: '$MQTT_msgs',
    mosquittoLines: connectionLines,
    start: async () => undefined,
  },
  plain: {
    label: 'mqtt.js + nats.js',
    stream: 'BENCH',
    mosquittoLines: () => [],
    start: async ({ stage, ports, qos, direction }) =>
      stage.fork('plain', '../peers/plain.mjs', {
        mqttPort: ports.mqtt,
        natsPort: ports.nats,
        qos,
        direction,
      }),
  },
}

/** @param {PeerContext} context */
async function startOurs({ stage, ports, qos, direction }) {
  if (!existsSync(PROGRAM))
    throw new Error("starting the bridge: 'dist/main.js' is missing, run npm run build first")
  const config = {
    mqtt: { url: `mqtt://127.0.0.1:${ports.mqtt}`, clientId: 'bench' },
    nats: { servers: [`nats://127.0.0.1:${ports.nats}`] },
    routes: [
      {
        pattern: 'bench/#',
        direction,
        qos,
        mqttPrefix: '',
        natsPrefix: '',
        delivery: qos === 0 ? 'live' : 'durable',
      },
    ],
    http: { listen: `127.0.0.1:${ports.http}` },
    log: { level: 'warn', format: 'json' },
  }
  // JSON is YAML too.
  const file = join(stage.folder, 'bridge.yaml')
  writeFileSync(file, JSON.stringify(config, undefined, 2))
  const actor = stage.start('bridge', process.execPath, [PROGRAM, 'run', '--config', file])
  await until('/readyz of the bridge', stage.signal, async () => {
    const answer = await fetch(`http://127.0.0.1:${ports.http}/readyz`).catch(() => undefined)
    return answer?.status === 200 ? true : undefined
  })
  return actor
}

/**
 * The `connection` section that makes Mosquitto a bridge into the MQTT listener of nats-server. That
 * speaks 3.1.1 alone and refuses the bridge bit, hence `try_private false`. At QoS 1 the session is
 * kept, because a bridge that forgets its queue at a disconnect promises less than what it is
 * measured against.
 *
 * @param {PeerContext} context
 */
function connectionLines({ ports, qos, direction }) {
  return [
    'connection bench',
    `address 127.0.0.1:${ports.natsMqtt}`,
    'bridge_protocol_version mqttv311',
    'try_private false',
    'notifications false',
    `cleansession ${qos === 0}`,
    'restart_timeout 1',
    `topic bench/# ${MOSQUITTO_DIRECTION[direction]} ${qos}`,
  ]
}
