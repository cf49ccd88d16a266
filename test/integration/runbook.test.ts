import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BridgeHere, startBridgeHere } from '../support/bridge-in-process.ts'
import { RUNBOOK_ROUTE, texts } from '../support/bridge-stage.ts'
import { eventually } from '../support/eventually.ts'
import { type Mosquitto, startMosquitto } from '../support/mosquitto.ts'
import { type NatsServer, startNatsServer } from '../support/nats-server.ts'
import {
  makeOperator,
  type OperatorFixture,
  type UserCredentials,
  type UserOptions,
} from '../support/operator.ts'
import { type Pki, sharedPki } from '../support/pki.ts'
import { connectMqtt, type RawMqtt } from '../support/raw-mqtt.ts'
import { connectNats, type RawNats } from '../support/raw-nats.ts'
import { type TempFolder, tempFolder } from '../support/temp.ts'

let pki: Pki
let operator: OperatorFixture
let server: NatsServer
let broker: Mosquitto
let folder: TempFolder
let bridges = 0

beforeAll(async () => {
  pki = await sharedPki()
  operator = await makeOperator()
  folder = await tempFolder()
  server = await startNatsServer({
    operator,
    jetstream: true,
    tls: pki.server,
    handshakeFirst: true,
  })
  broker = await startMosquitto({ tls: pki.server, users: { bridge: 'secret', ann: 'word' } })
})

afterAll(async () => {
  await broker?.[Symbol.asyncDispose]()
  await server?.[Symbol.asyncDispose]()
  await folder?.[Symbol.asyncDispose]()
})

const address = () => ({ port: server.port, tls: { ca: pki.ca, handshakeFirst: true } })
const bearer = (options: Partial<UserOptions> = {}) =>
  operator.userJwt({ account: 'IOT', bearer: true, ...options })

/** A bridge as the runbook sets it up, and the file its JWT lies in. */
async function runbookBridge(
  first: UserCredentials,
  waitUntilReady = true,
): Promise<BridgeHere & { replaceJwt(next: UserCredentials): Promise<void> }> {
  const name = `mqtt-bridge-${++bridges}`
  const jwtFile = join(folder.path, `${name}.jwt`)
  const passwordFile = join(folder.path, 'password')
  const replaceJwt = (next: UserCredentials) => writeFile(jwtFile, `${next.jwt}\n`)
  await replaceJwt(first)
  await writeFile(passwordFile, 'secret\n')
  const bridge = await startBridgeHere(
    {
      mqtt: {
        url: `${broker.url}`,
        clientId: name,
        username: 'bridge',
        passwordFile,
        tls: { caFile: pki.caFile },
      },
      nats: {
        servers: [server.url],
        tls: { caFile: pki.caFile, handshakeFirst: true },
        auth: { jwtFile },
        account: operator.accounts.IOT,
      },
      routes: [RUNBOOK_ROUTE],
    },
    { waitUntilReady },
  )
  return { ...bridge, replaceJwt }
}

async function clients(): Promise<{ mqtt: RawMqtt; nats: RawNats } & AsyncDisposable> {
  const tls = { ca: pki.ca }
  const mqtt = await connectMqtt({ port: broker.port, tls, username: 'ann', password: 'word' })
  const nats = await connectNats({ ...address(), jwt: (await bearer({ name: 'reader' })).jwt })
  return {
    mqtt,
    nats,
    async [Symbol.asyncDispose]() {
      await mqtt.close()
      await nats.close()
    },
  }
}

/** A message from MQTT to NATS and one back, told apart by their text. */
async function crossesBothWays(text: string): Promise<void> {
  await using ends = await clients()
  const onNats = ends.nats.subscribe(`sensors.${text}`)
  await ends.nats.flush()
  await ends.mqtt.subscribe(`mqtt/answers/${text}`)
  await ends.mqtt.publish(`mqtt/sensors/${text}`, 'to NATS', { qos: 1 })
  expect(texts(await onNats.take(1))).toEqual([`sensors.${text} to NATS`])
  ends.nats.publish(`answers.${text}`, 'to MQTT')
  expect(texts(await ends.mqtt.take(1))).toEqual([`mqtt/answers/${text} to MQTT`])
}

/** Public keys of the users the server has connections of now. */
async function connectedUsers(): Promise<string[]> {
  const { connections } = (await server.monitor('connz?auth=1')) as {
    connections: { authorized_user?: string; nkey?: string }[]
  }
  return connections.flatMap(({ nkey, authorized_user: user }) => [nkey ?? '', user ?? ''])
}

describe('the bridge of the runbook: TLS first, P-521 certificates, a bearer JWT alone', () => {
  it('carries QoS 0 and 1 both ways, and nothing comes back', async () => {
    await using bridge = await runbookBridge(await bearer())
    await using ends = await clients()
    const { mqtt, nats } = ends
    expect(bridge.report().links.mqtt.protocol).toBe('MQTT 5')
    expect(bridge.report().links.mqtt.tlsVersion).toBe('TLSv1.3')
    expect(bridge.report().links.nats.tlsVersion).toBe('TLSv1.3')
    const onNats = nats.subscribe('>')
    await nats.flush()
    await mqtt.subscribe('mqtt/#')
    await mqtt.publish('mqtt/sensors/temp', 'zero')
    await mqtt.publish('mqtt/sensors/temp', 'one', { qos: 1 })
    await onNats.take(2)
    nats.publish('sensors.set', 'back', { headers: { 'Mqtt-QoS': '0' } })
    nats.publish('sensors.set', 'once')
    await mqtt.take(4)
    await mqtt.publish('mqtt/marker', 'MQTT', { qos: 1 })
    nats.publish('marker', 'NATS')
    // an echo of anything above would stand before the markers
    expect(texts(await onNats.take(6))).toEqual([
      'sensors.temp zero',
      'sensors.temp one',
      'sensors.set back',
      'sensors.set once',
      ...texts(onNats.received.slice(4, 6)),
    ])
    expect(texts(onNats.received.slice(4, 6)).sort()).toEqual(['marker MQTT', 'marker NATS'])
    await eventually('the marker on MQTT', () => mqtt.received.length === 6)
    expect(mqtt.received.map(({ qos }) => qos).slice(0, 4)).toEqual([0, 1, 0, 1])
    expect(texts(mqtt.received.slice(0, 4))).toEqual([
      'mqtt/sensors/temp zero',
      'mqtt/sensors/temp one',
      'mqtt/sensors/set back',
      'mqtt/sensors/set once',
    ])
    await eventually('all to be settled', () => bridge.books('natsToMqtt').inFlight === 0)
    expect(bridge.unbalanced()).toEqual([])
  })

  it('logs in with the JWT that lies in the file at its next connect', async () => {
    const [first, second] = [await bearer({ name: 'first' }), await bearer({ name: 'second' })]
    await using bridge = await runbookBridge(first)
    expect(await connectedUsers()).toContain(first.publicKey)
    await bridge.replaceJwt(second)
    expect(bridge.report().links.nats.connects).toBe(1)
    // a revocation ends the connections of the old JWT
    await operator.pushRevocation(address(), 'IOT', first.publicKey)
    await eventually('the next connect', () => bridge.report().links.nats.connects === 2)
    await bridge.untilReady()
    const users = await connectedUsers()
    expect(users).toContain(second.publicKey)
    expect(users).not.toContain(first.publicKey)
    await crossesBothWays('rotated')
  })
})

interface Bad {
  readonly what: string
  readonly make: () => Promise<UserCredentials>
  readonly reason: RegExp
  readonly code: string
}

const BAD: readonly Bad[] = [
  {
    what: 'that is expired',
    make: () => bearer({ expiresIn: -60 }),
    reason: /^nats: .*expired/,
    code: 'NATS_JWT_EXPIRED',
  },
  {
    what: 'that is not valid before tomorrow',
    make: () => bearer({ notBefore: 86_400 }),
    reason: /^nats: .*valid from/,
    code: 'NATS_JWT_NOT_YET_VALID',
  },
  {
    what: 'of another account',
    make: () => bearer({ account: 'SERVICES' }),
    reason: /^nats: .*account/,
    code: 'NATS_JWT_ACCOUNT',
  },
  {
    what: 'that allows MQTT connections only',
    make: () => bearer({ connectionTypes: ['MQTT'] }),
    reason: /^nats: .*connection type.*MQTT/,
    code: 'NATS_JWT_CONNECTION_TYPE',
  },
  {
    what: 'that is not a bearer token and comes without its seed',
    make: () => bearer({ bearer: false }),
    reason: /^nats: .*bearer/,
    code: 'NATS_JWT_NEEDS_SEED',
  },
]

describe('a JWT that does not do', () => {
  for (const { what, make, reason, code } of BAD) {
    it(`keeps the bridge up and not ready when it is one ${what}, until the file is right`, async () => {
      await using bridge = await runbookBridge(await make(), false)
      await bridge.untilReason(reason)
      expect(bridge.report().ready).toBe(false)
      expect(bridge.report().links.nats.lastError?.code).toBe(code)
      await bridge.replaceJwt(await bearer())
      await bridge.untilReady(4_000)
      await crossesBothWays('healed')
    })
  }

  it('keeps the bridge up and not ready when it is revoked while in use, until the file is right', async () => {
    const user = await bearer()
    await using bridge = await runbookBridge(user)
    await operator.pushRevocation(address(), 'IOT', user.publicKey)
    await bridge.untilReason(/^nats: .*revoked/i)
    expect(bridge.report().links.nats.lastError?.code).toBe('NATS_REVOKED')
    await bridge.replaceJwt(await bearer())
    await bridge.untilReady(4_000)
    await crossesBothWays('issued-anew')
  })

  it('keeps the bridge up and not ready when it expires while in use, until the file is right', async () => {
    await using bridge = await runbookBridge(await bearer({ expiresIn: 2 }))
    await bridge.untilReason(/^nats: .*expired/)
    expect(bridge.report().links.nats.lastError?.code).toBe('NATS_JWT_EXPIRED')
    await bridge.replaceJwt(await bearer())
    await bridge.untilReady(4_000)
    await crossesBothWays('renewed')
  })
})
