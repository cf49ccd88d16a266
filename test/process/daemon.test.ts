import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startBridge } from '../support/bridge-process.ts'
import { startChild } from '../support/child.ts'
import { eventually } from '../support/eventually.ts'
import { type Mosquitto, startMosquitto } from '../support/mosquitto.ts'
import { type NatsServer, startNatsServer } from '../support/nats-server.ts'
import { freePort } from '../support/ports.ts'
import { connectMqtt } from '../support/raw-mqtt.ts'

const PROGRAM = join(import.meta.dirname, '../../dist/main.js')

describe('the daemon', () => {
  it('serves its pages, and exits with 0 after SIGTERM and after SIGINT', async () => {
    await using servers = await startServers()
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      await using bridge = await startBridge({ config: servers.config })
      for (const page of ['livez', 'readyz', 'status', 'metrics']) {
        expect((await fetch(`${bridge.url}/${page}`)).status).toBe(200)
      }
      bridge.signal(signal)
      expect(await bridge.ended()).toEqual({ code: 0, signal: null })
      expect(bridge.stderr()).toBe('')
      expect(bridge.logs().at(-1)?.msg).toBe('stopped')
    }
  })

  it('says at the start what runs, and names what has no effect', async () => {
    await using servers = await startServers()
    const routes = [{ pattern: '#', qos: 2, class: 'state' }]
    await using bridge = await startBridge({ config: { ...servers.config, routes } })
    const said = (msg: string) => bridge.logs().filter((line) => line.msg === msg)
    expect(said('starting')).toMatchObject([
      { level: 'info', room: 'main', file: bridge.configFile },
    ])
    expect(said('mqtt side')).toMatchObject([{ url: servers.mosquitto.url }])
    expect(said('nats side')).toMatchObject([{ servers: servers.nats.url, login: 'none' }])
    expect(said('route')).toMatchObject([{ route: '#', delivery: 'auto', qos: 2 }])
    expect(said('setting without effect')).toHaveLength(2)
  })

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('is ended at once by a second %s, with %i', async (signal, code) => {
    await using servers = await startServers()
    await using bridge = await startBridge({
      config: { ...servers.config, shutdownTimeout: '60s' },
    })
    await servers.nats.kill()
    await using device = await connectMqtt({ port: servers.mosquitto.port })
    await device.publish('mqtt/a', 'x', { qos: 1 })
    await eventually('the message to be in flight', async () => {
      const [route] = (await bridge.status()).routes
      return route?.inFlight === 1
    })
    bridge.signal(signal)
    await eventually('the drain', () => bridge.logs().some(({ msg }) => msg === 'stopping'))
    expect(await bridge.ready()).toBe(false)
    bridge.signal(signal)
    expect(await bridge.ended()).toEqual({ code, signal: null })
  })

  it('exits with 1 when the port of its pages is taken', async () => {
    const squatter = createServer()
    const port = await freePort()
    await new Promise<void>((resolve) => squatter.listen(port, '127.0.0.1', resolve))
    const child = await startChild(process.execPath, [
      PROGRAM,
      'run',
      '--http-listen',
      `127.0.0.1:${port}`,
    ])
    expect(await child.ended).toEqual({ code: 1, signal: null })
    expect(child.stderr()).toContain(`listening on '127.0.0.1:${port}'`)
    expect(child.stdout()).toContain('"code":"LISTEN_FAILED"')
    squatter.close()
  })

  it('stays up with both sides away and no pages, until it is told to end', async () => {
    const child = await startChild(process.execPath, [
      ...[
        PROGRAM,
        'run',
        '--http-listen',
        'off',
        '--mqtt-url',
        `mqtt://127.0.0.1:${await freePort()}`,
      ],
      ...['--nats-servers', `nats://127.0.0.1:${await freePort()}`],
    ])
    await eventually('both sides to have failed', () =>
      ['connecting to the NATS server failed', '"room":"mqtt","code":"CONNECT_REFUSED"'].every(
        (text) => child.stdout().includes(text),
      ),
    )
    expect(child.ending()).toBeUndefined()
    expect(await child.stop()).toEqual({ code: 0, signal: null })
  })

  it('takes a changed log level over, reports what waits, and refuses a bad file', async () => {
    await using servers = await startServers()
    await using bridge = await startBridge({ config: servers.config })
    const okAt = () => bridge.metric('mqttnats_config_last_reload_success_timestamp_seconds')
    const ok = () => bridge.metric('mqttnats_config_last_reload_successful')
    const said = (msg: string) => bridge.logs().filter((line) => line.msg === msg)
    const before = (await okAt()) ?? 0

    await bridge.configure({ ...servers.config, log: { level: 'debug' } })
    await eventually('the change to be seen', () => said('configuration read again').length === 1, {
      deadline: 2_000,
    })
    expect(said('changed settings take effect at the next start')).toEqual([])
    expect(await ok()).toBe(1)
    expect(await okAt()).toBeGreaterThan(before)

    await bridge.configure({ ...servers.config, log: { level: 'debug' }, shutdownTimeout: '5s' })
    await eventually(
      'what waits to be named',
      () => said('changed settings take effect at the next start')[0],
    )
    expect(said('changed settings take effect at the next start')).toMatchObject([
      { settings: ['shutdownTimeout'] },
    ])
    expect(await ok()).toBe(0)

    await bridge.configure({ ...servers.config, log: { level: 'loud' } })
    bridge.signal('SIGHUP')
    const refused = 'configuration read again and refused, the one before stays in force'
    const line = await eventually('the refusal', () => said(refused)[0])
    expect(line).toMatchObject({ level: 'error', code: 'CONFIG_INVALID' })
    expect(String(line['problems'])).toContain('log.level')
    expect(await bridge.ready()).toBe(true)
  })

  it('shows a watcher what is decided, filtered', async () => {
    await using servers = await startServers()
    await using bridge = await startBridge({ config: servers.config })
    const args = [
      PROGRAM,
      'tap',
      '--url',
      bridge.url,
      '--filter',
      'mqtt/seen/#',
      '--output',
      'json',
    ]
    const child = await startChild(process.execPath, args)
    await eventually('the watcher', () => child.stderr().startsWith('watching '))
    await using device = await connectMqtt({ port: servers.mosquitto.port })
    for (const topic of ['mqtt/unseen', 'mqtt/seen/a'])
      await device.publish(topic, 'abc', { qos: 1 })
    await eventually('a decision', () => child.stdout().endsWith('\n'))
    expect(JSON.parse(child.stdout())).toMatchObject({
      direction: 'mqttToNats',
      route: '#',
      name: 'mqtt/seen/a',
      address: 'seen.a',
      qos: 1,
      bytes: 3,
      outcome: 'inFlight',
    })
    expect(await child.stop('SIGINT')).toEqual({ code: 0, signal: null })
    const orphan = await startChild(process.execPath, args)
    await eventually('the watcher', () => orphan.stderr().startsWith('watching '))
    await bridge.stop()
    expect(await orphan.ended).toEqual({ code: 1, signal: null })
  })

  it('exits with 1 and a code when something unexpected fails', async () => {
    await using servers = await startServers()
    const trap = join(servers.folder, 'trap.mjs')
    await writeFile(
      trap,
      "process.on('SIGUSR2', () => { throw new Error('nobody expected this') })\n",
    )
    await using bridge = await startBridge({ config: servers.config, nodeArgs: ['--import', trap] })
    bridge.signal('SIGUSR2')
    expect(await bridge.ended()).toEqual({ code: 1, signal: null })
    expect(bridge.logs()).toContainEqual(
      expect.objectContaining({ level: 'error', code: 'INTERNAL', error: 'nobody expected this' }),
    )
    expect(bridge.logs().at(-1)?.msg).toBe('stopped')
  })
})

interface Servers extends AsyncDisposable {
  readonly mosquitto: Mosquitto
  readonly nats: NatsServer
  readonly folder: string
  readonly config: Readonly<Record<string, unknown>>
}

async function startServers(): Promise<Servers> {
  const [mosquitto, nats] = await Promise.all([
    startMosquitto(),
    startNatsServer({ jetstream: true }),
  ])
  return {
    mosquitto,
    nats,
    folder: mosquitto.storeDir,
    config: { mqtt: { url: mosquitto.url }, nats: { servers: [nats.url] } },
    async [Symbol.asyncDispose]() {
      await Promise.all([mosquitto[Symbol.asyncDispose](), nats[Symbol.asyncDispose]()])
    },
  }
}
