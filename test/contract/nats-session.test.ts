import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { NatsTlsConfig } from '../../src/core/config.ts'
import { eventually } from '../support/eventually.ts'
import { startNatsServer } from '../support/nats-server.ts'
import {
  fileSecret,
  inlineSecret,
  natsConfig,
  startNatsSession,
} from '../support/nats-session-stage.ts'
import { makeOperator } from '../support/operator.ts'
import { makePki, sharedPki } from '../support/pki.ts'
import { freePort } from '../support/ports.ts'
import { startProxy } from '../support/proxy.ts'
import { connectNats } from '../support/raw-nats.ts'
import { tempFolder } from '../support/temp.ts'

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')

async function tlsOf(more: Partial<NatsTlsConfig> = {}): Promise<NatsTlsConfig> {
  const { caFile } = await sharedPki()
  return { caFile, handshakeFirst: false, ...more }
}

describe('the NATS session, plain', () => {
  it('connects, reports what it found, answers requests and leaves', async () => {
    await using server = await startNatsServer({ jetstream: true, name: 'plain' })
    await using stage = await startNatsSession(natsConfig([server.url]))
    await stage.connected()
    expect(stage.ups[0]).toMatchObject({
      server: `localhost:${server.port}`,
      serverName: 'plain',
      version: '2.12.3',
      maxPayload: 1024 * 1024,
      headers: true,
      jetstream: true,
    })
    expect(stage.report).toMatchObject({
      state: 'connected',
      protocol: 'NATS',
      serverVersion: '2.12.3',
      tlsVersion: '',
      connects: 1,
      reconnects: 0,
      reasons: [],
    })
    const info = JSON.parse(text(await stage.session.request('$JS.API.INFO', '', 2_000)))
    expect(info.type).toBe('io.nats.jetstream.api.v1.account_info_response')
    expect(await stage.session.rtt()).toBeGreaterThan(0)
    expect(stage.report.rtt).toBeGreaterThan(0)
    const { connections } = await server.monitor('connz')
    expect(connections).toMatchObject([{ name: 'stage', lang: 'nats.js' }])

    await stage.session.stop()
    await stage.session.stop()
    expect(stage.report).toMatchObject({ state: 'stopped', disconnects: 1 })
    expect(stage.downs.map(({ code }) => code)).toEqual(['SHUTTING_DOWN'])
    await expect(stage.session.request('a', '', 100)).rejects.toMatchObject({ code: 'LINK_LOST' })
    await eventually('no connection', async () => {
      const { num_connections: left } = await server.monitor('connz')
      return left === 0
    })
  })

  it('says that nobody answers, and that an answer is late', async () => {
    await using server = await startNatsServer()
    await using stage = await startNatsSession(natsConfig([server.url]))
    await stage.connected()
    await expect(stage.session.request('$JS.API.INFO', '', 1_000)).rejects.toMatchObject({
      code: 'NATS_NO_JETSTREAM',
    })
    await using client = await connectNats({ port: server.port })
    client.subscribe('mute')
    await client.flush()
    await expect(stage.session.request('mute', 'x', 100)).rejects.toMatchObject({
      code: 'CONNECT_TIMEOUT',
    })
    expect(stage.downs).toEqual([])
  })

  it('waits for a server that is away at the start and comes back after a kill', async () => {
    const port = await freePort()
    await using stage = await startNatsSession(natsConfig([`nats://127.0.0.1:${port}`]))
    await stage.failed('CONNECT_REFUSED')
    expect(stage.report.reasons[0]).toContain(`connecting to '127.0.0.1:${port}'`)
    await using server = await startNatsServer({ port })
    await stage.connected()
    await server.kill()
    await eventually('the loss', () => stage.downs.length === 1)
    expect(stage.report.state).not.toBe('connected')
    expect(stage.downs[0]?.code).toBe('LINK_LOST')
    await expect(stage.session.rtt()).rejects.toMatchObject({ code: 'LINK_LOST' })
    await server.restart()
    await stage.connected(2)
    expect(stage.report).toMatchObject({ connects: 2, reconnects: 1, disconnects: 1 })
  })

  it('rejects a request that is under way when the connection ends', async () => {
    await using server = await startNatsServer()
    await using stage = await startNatsSession(natsConfig([server.url]))
    await stage.connected()
    await using client = await connectNats({ port: server.port })
    const asked = client.subscribe('mute')
    await client.flush()
    const answer = stage.session.request('mute', 'x', 20_000)
    answer.catch(() => undefined)
    await asked.take(1)
    await server.kill()
    await expect(answer).rejects.toMatchObject({ code: 'LINK_LOST' })
  })

  it('goes to the second server when the first is away', async () => {
    await using server = await startNatsServer()
    const away = await freePort()
    const config = natsConfig([`nats://127.0.0.1:${away}`, server.url])
    await using stage = await startNatsSession(config)
    await stage.connected()
    expect(stage.report.server).toBe(`localhost:${server.port}`)
    expect([...stage.report.failures]).toEqual([['CONNECT_REFUSED', 1]])
  })

  it('makes another connection when told to', async () => {
    await using server = await startNatsServer()
    await using stage = await startNatsSession(natsConfig([server.url]))
    await stage.connected()
    const { BridgeError } = await import('../../src/core/errors.ts')
    stage.session.recycle(new BridgeError('testing', { code: 'LINK_HALF_OPEN' }))
    await stage.connected(2)
    expect(stage.downs.map(({ code }) => code)).toEqual(['LINK_HALF_OPEN'])
  })

  it('logs in with user and password, and with a token', async () => {
    await using server = await startNatsServer({
      config: 'authorization { user: a, password: "b c" }',
    })
    const auth = { username: 'a', password: inlineSecret('b c') }
    await using stage = await startNatsSession(natsConfig([server.url], { auth }))
    await stage.connected()
    await using other = await startNatsServer({ config: 'authorization { token: "t" }' })
    const token = { token: inlineSecret('t') }
    await using second = await startNatsSession(natsConfig([other.url], { auth: token }))
    await second.connected()
  })

  it('keeps trying when the credentials are refused and heals when the file is replaced', async () => {
    await using folder = await tempFolder()
    const file = join(folder.path, 'password')
    await using server = await startNatsServer({
      config: 'authorization { user: a, password: right }',
    })
    const auth = { username: 'a', password: fileSecret(file) }
    await using stage = await startNatsSession(natsConfig([server.url], { auth }))
    await stage.failed('SECRET_UNREADABLE')
    await writeFile(file, 'wrong\n')
    await stage.failed('NATS_AUTH')
    expect(stage.report.authErrors).toBeGreaterThan(0)
    await writeFile(file, 'right\n')
    const from = performance.now()
    await stage.connected()
    expect(performance.now() - from).toBeLessThan(2_000)
  })

  it('tells of a subject that is not permitted and stays connected', async () => {
    const permissions = 'permissions { publish: ["ok", "_INBOX.>"], subscribe: "_INBOX.>" }'
    await using server = await startNatsServer({
      config: `authorization { users: [{ user: a, password: b, ${permissions} }] }`,
    })
    const auth = { username: 'a', password: inlineSecret('b') }
    await using stage = await startNatsSession(natsConfig([server.url], { auth }))
    await stage.connected()
    stage.transports.at(-1)?.send(Buffer.from('PUB not.ok 1\r\nx\r\nSUB nor.this 1000000\r\n'))
    await eventually('two complaints', () => stage.complaints.length === 2)
    expect(stage.complaints.map(({ operation, subject }) => [operation, subject])).toEqual([
      ['publish', 'not.ok'],
      ['subscription', 'nor.this'],
    ])
    expect(stage.complaints[0]?.error.code).toBe('NATS_PERMISSION')
    await expect(stage.session.request('$JS.API.INFO', '', 1_000)).rejects.toMatchObject({
      code: 'NATS_PERMISSION',
    })
    expect(await stage.session.rtt()).toBeGreaterThan(0)
    expect(stage.downs).toEqual([])
  })

  it('names a limit of connections', async () => {
    await using server = await startNatsServer({ config: 'max_connections: 1' })
    await using client = await connectNats({ port: server.port })
    await using stage = await startNatsSession(natsConfig([server.url]))
    await stage.failed('CONNECT_FAILED')
    expect(stage.report.lastError?.message).toContain('maximum connections exceeded')
    await client.close()
    await stage.connected()
  })

  it('goes back to where a message was too large', async () => {
    await using server = await startNatsServer({ config: 'max_payload: 100' })
    await using stage = await startNatsSession(natsConfig([server.url]))
    await stage.connected()
    expect(stage.ups[0]?.maxPayload).toBe(100)
    stage.transports.at(-1)?.send(Buffer.from(`PUB a 101\r\n${'x'.repeat(101)}\r\n`))
    await stage.connected(2)
    expect(stage.downs[0]?.code).toBe('NATS_MAX_PAYLOAD')
  })

  it('leaves a server that is about to shut down for another one', async () => {
    const duck = 'lame_duck_grace_period: "10s", lame_duck_duration: "30s"'
    await using first = await startNatsServer({ config: duck })
    await using second = await startNatsServer()
    await using stage = await startNatsSession(natsConfig([first.url, second.url]))
    await stage.connected()
    expect(stage.report.server).toBe(`localhost:${first.port}`)
    first.signal('SIGUSR2')
    await eventually('the announcement', () => stage.lameDucks() === 1)
    expect(stage.report.state).toBe('connected')
    await stage.connected(2)
    expect(stage.downs.map(({ code }) => code)).toEqual(['NATS_LAME_DUCK'])
    expect(stage.report.server).toBe(`localhost:${second.port}`)
  })

  it('learns the servers of a cluster and moves to them', async () => {
    const [a, b] = [await freePort(), await freePort()]
    const cluster = (own: number, other: number) =>
      `cluster { name: c, listen: "127.0.0.1:${own}", routes: ["nats://127.0.0.1:${other}"] }`
    await using first = await startNatsServer({ config: cluster(a, b), name: 'first' })
    await using second = await startNatsServer({ config: cluster(b, a), name: 'second' })
    await eventually('the route', async () => {
      const { connect_urls: urls } = await first.varz()
      return Array.isArray(urls) && urls.length === 2
    })
    await using stage = await startNatsSession(natsConfig([first.url]))
    await stage.connected()
    await first.kill()
    await stage.connected(2)
    expect(stage.ups.map(({ serverName }) => serverName)).toEqual(['first', 'second'])
    expect(stage.report.server).toBe(`127.0.0.1:${second.port}`)
  })

  it('notices a peer that is gone within two ping intervals', async () => {
    await using server = await startNatsServer()
    await using proxy = await startProxy(server.port)
    const config = natsConfig([`nats://127.0.0.1:${proxy.port}`], { pingInterval: 500 })
    await using stage = await startNatsSession(config)
    await stage.connected()
    const from = performance.now()
    proxy.halfOpen()
    await eventually('the loss', () => stage.downs.length === 1)
    expect(stage.downs[0]?.code).toBe('NATS_STALE')
    expect(performance.now() - from).toBeLessThan(1_500)
    await proxy.heal()
    await stage.connected(2)
  })

  it('stays with a quiet peer that answers', async () => {
    await using server = await startNatsServer()
    await using stage = await startNatsSession(natsConfig([server.url], { pingInterval: 100 }))
    await stage.connected()
    const before = stage.transports[0]?.socket.bytesRead ?? 0
    await eventually(
      'ten answers',
      () => (stage.transports[0]?.socket.bytesRead ?? 0) >= before + 60,
    )
    expect(stage.downs).toEqual([])
    expect(stage.report.rtt).toBeGreaterThan(0)
  })

  it('stops at once while it is dialling or waiting', async () => {
    await using server = await startNatsServer()
    await using proxy = await startProxy(server.port)
    proxy.halfOpen()
    await using stage = await startNatsSession(natsConfig([`nats://127.0.0.1:${proxy.port}`]))
    await eventually('the connection', () => proxy.accepted() === 1)
    const from = performance.now()
    await stage.session.stop()
    expect(performance.now() - from).toBeLessThan(500)
    expect(stage.report).toMatchObject({ state: 'stopped', disconnects: 0 })
    await using away = await startNatsSession(natsConfig([`nats://127.0.0.1:${await freePort()}`]))
    await eventually('the wait', () => away.report.state === 'waiting')
    await away.session.stop()
    expect(away.report.state).toBe('stopped')
  })
})

describe('the NATS session, TLS', () => {
  it('upgrades after the greeting and reports version and end of the certificate', async () => {
    const pki = await sharedPki()
    await using server = await startNatsServer({ tls: pki.server })
    await using stage = await startNatsSession(natsConfig([server.url], { tls: await tlsOf() }))
    await stage.connected()
    expect(stage.report.tlsVersion).toBe('TLSv1.3')
    expect(stage.report.serverCertNotAfter).toBeGreaterThan(Date.now() / 1000)
    expect(await stage.session.rtt()).toBeGreaterThan(0)
  })

  it('checks an IP address against the certificate, and keeps a trailing dot from TLS', async () => {
    const pki = await sharedPki()
    await using server = await startNatsServer({ tls: pki.server })
    for (const host of ['127.0.0.1', 'localhost.']) {
      const config = natsConfig([`tls://${host}:${server.port}`], { tls: await tlsOf() })
      await using stage = await startNatsSession(config)
      await stage.connected()
    }
  })

  it('shows its certificate to a server that asks for one', async () => {
    const { caFile, client, server: own } = await sharedPki()
    await using server = await startNatsServer({ tls: { ...own, caFile, verify: true } })
    const { certFile, keyFile } = client
    const config = natsConfig([server.url], { tls: await tlsOf({ certFile, keyFile }) })
    await using stage = await startNatsSession(config)
    await stage.connected()
  })

  it.each([false, true])(
    'names a CA, a name and a date that are wrong (TLS first: %s)',
    async (handshakeFirst) => {
      const pki = await sharedPki()
      const stranger = await makePki()
      await using server = await startNatsServer({ tls: pki.server, handshakeFirst })
      const wrongCa = natsConfig([server.url], {
        tls: { caFile: stranger.caFile, handshakeFirst },
      })
      await using first = await startNatsSession(wrongCa)
      await first.failed('TLS_UNTRUSTED')
      const wrongName = natsConfig([server.url], {
        tls: await tlsOf({ serverName: 'other.example', handshakeFirst }),
      })
      await using second = await startNatsSession(wrongName)
      await second.failed('TLS_NAME_MISMATCH')
      const old = await pki.issue(`old-${handshakeFirst}`, { days: -1 })
      await using third = await startNatsServer({ tls: old, handshakeFirst })
      const tls = await tlsOf({ handshakeFirst })
      await using late = await startNatsSession(natsConfig([third.url], { tls }))
      await late.failed('TLS_CERT_EXPIRED')
    },
  )

  it('heals when the CA file is replaced', async () => {
    const pki = await sharedPki()
    await using folder = await tempFolder()
    const caFile = join(folder.path, 'ca.pem')
    await using server = await startNatsServer({ tls: pki.server })
    const config = natsConfig([server.url], { tls: { caFile, handshakeFirst: false } })
    await using stage = await startNatsSession(config)
    await stage.failed('TLS_FILE_UNREADABLE')
    await writeFile(caFile, '-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n')
    await eventually('the second verdict', () =>
      stage.report.lastError?.message.includes('TLS files'),
    )
    await writeFile(caFile, pki.ca)
    await stage.connected()
  })

  it('uses TLS where the server insists, and says so when it does not trust it', async () => {
    const pki = await sharedPki()
    await using server = await startNatsServer({ tls: pki.server })
    await using stage = await startNatsSession(natsConfig([`nats://localhost:${server.port}`]))
    await stage.failed('TLS_UNTRUSTED')
  })

  it('says that the server offers no TLS', async () => {
    await using server = await startNatsServer()
    await using stage = await startNatsSession(natsConfig([server.url], { tls: await tlsOf() }))
    await stage.failed('TLS_HANDSHAKE')
    expect(stage.report.lastError?.message).toContain('offers no TLS')
  })

  it('names both ways in which the two sides can disagree on who begins', async () => {
    const pki = await sharedPki()
    await using eager = await startNatsServer({ tls: pki.server, handshakeFirst: true })
    await using polite = await startNatsServer({ tls: pki.server })
    await using first = await startNatsSession(natsConfig([eager.url], { tls: await tlsOf() }))
    await first.failed('NATS_TLS_FIRST_EXPECTED')
    const tls = await tlsOf({ handshakeFirst: true })
    await using second = await startNatsSession(natsConfig([polite.url], { tls }))
    await second.failed('NATS_TLS_FIRST_UNSUPPORTED')
  })
})

describe('the NATS session in operator mode', () => {
  it('logs in over TLS first with a bearer JWT, with a seed, with creds and with an nkey', async () => {
    const pki = await sharedPki()
    const operator = await makeOperator()
    const bearer = await operator.userJwt({ account: 'IOT', bearer: true })
    const signed = await operator.userJwt({ account: 'IOT' })
    await using server = await startNatsServer({
      operator,
      tls: pki.server,
      handshakeFirst: true,
      jetstream: true,
    })
    const tls = await tlsOf({ handshakeFirst: true })
    const ways = [
      { jwt: inlineSecret(bearer.jwt) },
      { jwt: inlineSecret(signed.jwt), seed: inlineSecret(signed.seed) },
      { creds: inlineSecret(signed.creds) },
    ]
    for (const auth of ways) {
      const config = natsConfig([server.url], { tls, auth, account: operator.accounts.IOT })
      await using stage = await startNatsSession(config)
      await stage.connected()
      expect(stage.report.tlsVersion).toBe('TLSv1.3')
    }
    await using other = await startNatsServer({
      config: `authorization { users: [{ nkey: ${signed.publicKey} }] }`,
    })
    const auth = { seed: inlineSecret(signed.seed) }
    await using stage = await startNatsSession(natsConfig([other.url], { auth }))
    await stage.connected()
  })

  it('says what is wrong with the JWT and heals within 2 s when its file is replaced', async () => {
    const operator = await makeOperator()
    await using server = await startNatsServer({ operator, jetstream: true })
    await using folder = await tempFolder()
    const file = join(folder.path, 'user.jwt')
    const put = async (options: Parameters<typeof operator.userJwt>[0]) => {
      const { jwt } = await operator.userJwt(options)
      await writeFile(`${file}.new`, jwt)
      await rename(`${file}.new`, file)
    }
    await put({ account: 'IOT', bearer: true, expiresIn: -10 })
    const auth = { jwt: fileSecret(file) }
    const account = operator.accounts.IOT
    await using stage = await startNatsSession(natsConfig([server.url], { auth, account }))
    await stage.failed('NATS_JWT_EXPIRED')
    await put({ account: 'IOT', bearer: true, notBefore: 600 })
    await stage.failed('NATS_JWT_NOT_YET_VALID')
    await put({ account: 'SERVICES', bearer: true })
    await stage.failed('NATS_JWT_ACCOUNT')
    await put({ account: 'IOT', bearer: true, connectionTypes: ['MQTT'] })
    await stage.failed('NATS_JWT_CONNECTION_TYPE')
    await put({ account: 'IOT' })
    await stage.failed('NATS_JWT_NEEDS_SEED')
    await writeFile(file, operator.operatorJwt)
    await stage.failed('NATS_JWT_MALFORMED')
    await rm(file)
    await stage.failed('SECRET_UNREADABLE')
    expect(stage.transports).toEqual([])
    const from = performance.now()
    await put({ account: 'IOT', bearer: true })
    await stage.connected()
    expect(performance.now() - from).toBeLessThan(2_000)
  })

  it('connects by itself when a JWT becomes valid', async () => {
    const operator = await makeOperator()
    await using server = await startNatsServer({ operator })
    const { jwt } = await operator.userJwt({ account: 'IOT', bearer: true, notBefore: 2 })
    const auth = { jwt: inlineSecret(jwt) }
    await using stage = await startNatsSession(natsConfig([server.url], { auth }))
    await stage.failed('NATS_JWT_NOT_YET_VALID')
    await stage.connected()
  })

  it('is sent away when its JWT expires and comes back with the next one', async () => {
    const operator = await makeOperator()
    await using server = await startNatsServer({ operator })
    await using folder = await tempFolder()
    const file = join(folder.path, 'user.jwt')
    const short = await operator.userJwt({ account: 'IOT', bearer: true, expiresIn: 3 })
    await writeFile(file, short.jwt)
    const auth = { jwt: fileSecret(file) }
    await using stage = await startNatsSession(natsConfig([server.url], { auth }))
    await stage.connected()
    await eventually('the end', () => stage.downs.length === 1)
    expect(stage.downs[0]?.code).toBe('NATS_JWT_EXPIRED')
    const next = await operator.userJwt({ account: 'IOT', bearer: true })
    await writeFile(file, next.jwt)
    await stage.connected(2)
  })

  it('calls a refused JWT that had worked revoked, and heals with a new one', async () => {
    const operator = await makeOperator()
    await using server = await startNatsServer({ operator })
    await using folder = await tempFolder()
    const file = join(folder.path, 'user.jwt')
    const user = await operator.userJwt({ account: 'IOT', bearer: true })
    await writeFile(file, user.jwt)
    const auth = { jwt: fileSecret(file) }
    await using stage = await startNatsSession(natsConfig([server.url], { auth }))
    await stage.connected()
    await operator.pushRevocation({ port: server.port }, 'IOT', user.publicKey)
    await eventually('two failures', () => (stage.report.failures.get('NATS_REVOKED') ?? 0) >= 2)
    expect(stage.downs[0]?.code).toBe('NATS_REVOKED')
    expect(stage.report.authErrors).toBeGreaterThanOrEqual(2)
    const next = await operator.userJwt({ account: 'IOT', bearer: true })
    await writeFile(file, next.jwt)
    await stage.connected(2)
  })

  it('says that a JWT without a flaw is refused, without calling it revoked', async () => {
    const operator = await makeOperator()
    const stranger = await makeOperator()
    await using server = await startNatsServer({ operator })
    const { jwt } = await stranger.userJwt({ account: 'IOT', bearer: true })
    const auth = { jwt: inlineSecret(jwt) }
    const config = natsConfig([server.url], { auth, connectTimeout: 8_000 })
    await using stage = await startNatsSession(config)
    await stage.failed('NATS_AUTH')
    expect(stage.report.lastError?.message).toContain('valid in itself')
    expect(stage.lines.filter(({ code }) => code === 'NATS_AUTH')).toHaveLength(1)
  })
})
