import fc from 'fast-check'
import { expect, it } from 'vitest'
import { startBridgeHere } from '../support/bridge-in-process.ts'
import { eventually } from '../support/eventually.ts'
import { startMosquitto } from '../support/mosquitto.ts'
import { type NatsServer, startNatsServer } from '../support/nats-server.ts'
import { connectMqtt, type RawMqtt } from '../support/raw-mqtt.ts'
import { connectNats } from '../support/raw-nats.ts'

const COUNT = 500

/** Parts of levels: dots, wildcards of NATS, empty ones, non-ASCII, and what looks like an escape. */
const PART = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^[a-zA-Z0-9_-]{1,6}$/) },
  fc.constantFrom('', '.', '..', 'a.b', '.a', 'a.', '*', '>', 'a*', '2e', '$x', '%20', '温度', 'é'),
  fc.constantFrom('🌡', ':', '=', '"', "'", '\\', '|', '~', '!', '@', ',', ';', '{}', '[]', '()'),
)
const LEVEL = fc.array(PART, { maxLength: 3 }).map((parts) => parts.join(''))
const TOPIC = fc
  .array(LEVEL, { minLength: 1, maxLength: 6 })
  .map((levels) => levels.join('/'))
  // Mosquitto and nats-server keep topics that begin with $ to themselves.
  .filter((topic) => topic !== '' && !topic.startsWith('$'))

/** Publishes to the server's own MQTT port; false when it refuses the topic, which ends the connection. */
async function accepts(client: RawMqtt, topic: string, payload: string): Promise<boolean> {
  try {
    return (await client.publish(topic, payload, { qos: 1 })) === 0
  } catch {
    return false
  }
}

/** Subjects by payload, for what was published as number `0…` to the server's own MQTT port. */
async function reference(server: NatsServer, topics: readonly string[]) {
  await using nats = await connectNats({ port: server.port })
  const seen = nats.subscribe('>')
  await nats.flush()
  let client = await connectMqtt({ port: server.mqttPort, version: 4 })
  for (const [n, topic] of topics.entries()) {
    if (await accepts(client, topic, `own ${n}`)) continue
    await client.destroy()
    client = await connectMqtt({ port: server.mqttPort, version: 4 })
  }
  // what the server took and has not handed on before this it never will
  await client.publish('marker', 'the last', { qos: 1 })
  await eventually('the marker', () =>
    seen.received.some(({ data }) => data.toString() === 'the last'),
  )
  await client.close()
  return subjectsOf(seen.received, 'own', 0)
}

/** Waits for at least that many numbered payloads of a kind, and tells their subjects by number. */
async function subjectsOf(
  received: readonly { readonly subject: string; readonly data: Buffer }[],
  kind: string,
  count: number,
): Promise<Map<number, string>> {
  const found = new Map<number, string>()
  await eventually(`${count} subjects of '${kind}'`, () => {
    for (const { subject, data } of received) {
      const [, word, number] = /^(\w+) (\d+)$/.exec(data.toString()) ?? []
      if (word === kind && !subject.startsWith('$')) found.set(Number(number), subject)
    }
    return found.size >= count
  })
  return found
}

it(`gives ${COUNT} random topics the subjects that nats-server's own MQTT listener gives them`, async () => {
  const seed = Number(process.env['MQTTNATS_TEST_SEED'] ?? Date.now() % 2 ** 31)
  const topics = fc.sample(TOPIC, { numRuns: COUNT, seed })
  await using server = await startNatsServer({ mqtt: true })
  await using broker = await startMosquitto()
  await using nats = await connectNats({ port: server.port })
  const expected = await reference(server, topics)
  // most topics of the sample are fit for the comparison
  expect(expected.size, `seed ${seed}`).toBeGreaterThan(COUNT * 0.9)

  await using bridge = await startBridgeHere({
    mqtt: { url: `mqtt://127.0.0.1:${broker.port}` },
    nats: { servers: [`nats://127.0.0.1:${server.port}`] },
    routes: [{ pattern: '#' }],
  })
  const seen = nats.subscribe('>')
  await nats.flush()
  await using mqtt = await connectMqtt({ port: broker.port })
  const sent = [...expected.keys()].map((n) => [topics[n] ?? '', `ours ${n}`] as const)
  await mqtt.publishAll(sent, { qos: 1 })
  const actual = await subjectsOf(seen.received, 'ours', expected.size).catch((error: unknown) => {
    const dropped = JSON.stringify(bridge.dropped('mqttToNats'))
    throw new Error(`seed ${seed}: dropped ${dropped}`, { cause: error })
  })
  const named = (subjects: ReadonlyMap<number, string>) =>
    Object.fromEntries([...subjects].sort().map(([n, subject]) => [`${n} ${topics[n]}`, subject]))
  expect(named(actual), `seed ${seed}`).toEqual(named(expected))
  expect(bridge.unbalanced()).toEqual([])
})
