import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startChild } from '../support/child.ts'
import { createStream } from '../support/jetstream.ts'
import { startMosquitto } from '../support/mosquitto.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { makeOperator } from '../support/operator.ts'
import { sharedPki } from '../support/pki.ts'
import { connectNats } from '../support/raw-nats.ts'
import { tempFolder } from '../support/temp.ts'

const PROGRAM = join(import.meta.dirname, '../../dist/main.js')
const DAY = 86_400

it('tells what TLS, the JWT and the streams mean for the bridge', async () => {
  const operator = await makeOperator()
  const pki = await sharedPki()
  await using folder = await tempFolder()
  await using mosquitto = await startMosquitto({ tls: pki.server })
  await using nats = await startNatsServer({
    operator,
    jetstream: true,
    tls: pki.server,
    handshakeFirst: true,
  })
  const user = await operator.userJwt({ account: 'IOT', bearer: true, expiresIn: 10 * DAY })
  const jwtFile = join(folder.path, 'user.jwt')
  await writeFile(jwtFile, user.jwt)
  const tls = { caFile: pki.caFile }
  {
    const tls = { ca: pki.ca, handshakeFirst: true, servername: 'localhost' }
    await using client = await connectNats({ port: nats.port, jwt: user.jwt, tls })
    await createStream(client, 'FULL', ['a.>'], { discard: 'new' })
    await createStream(client, 'WORK', ['b.>'], { retention: 'workqueue' })
  }
  const check = (auth: object) =>
    connections(folder.path, {
      mqtt: { url: mosquitto.url, tls },
      nats: { servers: [nats.url], tls: { ...tls, handshakeFirst: true }, auth },
      routes: [{ pattern: '#', delivery: 'durable' }],
    })

  const good = await check({ jwtFile })
  expect(good.code).toBe(0)
  const texts = good.findings.map(({ side, level, text }) => `${side} ${level} ${text}`)
  for (const text of [
    'mqtt ok TLSv1.3',
    'nats ok TLSv1.3',
    expect.stringMatching(/^nats ok user JWT of account A\w+, bearer, any connection type$/),
    expect.stringMatching(/^nats warning the user JWT ends .*, in (9|10) days$/),
    'nats ok route #: durable through FULL, WORK',
    expect.stringMatching(/^nats warning route #: stream FULL refuses messages when it is full/),
    expect.stringMatching(/^nats warning route #: stream WORK is a work queue/),
  ]) {
    expect(texts).toContainEqual(text)
  }

  const other = await operator.userJwt({ account: 'IOT', bearer: true, expiresIn: -60 })
  await writeFile(jwtFile, other.jwt)
  const bad = await check({ jwtFile })
  expect(bad.code).toBe(1)
  expect(bad.findings).toContainEqual(
    expect.objectContaining({
      side: 'nats',
      level: 'problem',
      text: expect.stringMatching(/^NATS_JWT_EXPIRED: /),
    }),
  )
})

interface Finding {
  readonly side: string
  readonly level: string
  readonly text: string
}

async function connections(
  folder: string,
  config: object,
): Promise<{ code: number | null; findings: readonly Finding[] }> {
  const file = join(folder, 'bridge.json')
  await writeFile(file, JSON.stringify(config))
  const args = [PROGRAM, 'check', '--connect', '--output', 'json', '--config', file]
  const child = await startChild(process.execPath, args)
  const { code } = await child.ended
  return { code, findings: JSON.parse(child.stdout()).connections }
}
