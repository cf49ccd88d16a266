import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { parseUsers, verifyPassword } from '../../src/mqtt/embedded/users.ts'
import { startChild } from '../support/child.ts'
import { startMosquitto } from '../support/mosquitto.ts'
import { startNatsServer } from '../support/nats-server.ts'
import { freePort } from '../support/ports.ts'
import { tempFolder } from '../support/temp.ts'

const ROOT = join(import.meta.dirname, '../..')
const PROGRAM = join(ROOT, 'dist/main.js')
const GOLDEN = join(ROOT, 'test/golden')

describe('the command line', () => {
  it('exits with 2 for an unknown command, naming the nearest', async () => {
    expect(await run(['chek'])).toEqual({
      code: 2,
      out: '',
      err: "mqtt-nats-bridge: reading the command line: unknown command 'chek'; did you mean check?\n  → see --help for the commands and their options\n",
    })
  })

  it('prints help and version as results', async () => {
    const help = await run(['--help'])
    expect(help).toMatchObject({ code: 0, err: '' })
    expect(help.out).toContain('Exit codes:')
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    expect(await run(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' })
  })

  it('does not choke on a reader that goes away', async () => {
    const child = spawn(process.execPath, [PROGRAM, 'help', 'settings'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.destroy()
    let err = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text
    })
    const code = await new Promise((resolve) => child.once('close', resolve))
    expect({ code, err }).toEqual({ code: 0, err: '' })
  })
})

describe('check', () => {
  it('reports every mistake at once and exits with 2', async () => {
    const expected = await readFile(join(GOLDEN, 'config/many-mistakes.expected.txt'), 'utf8')
    const cwd = join(GOLDEN, 'config')
    for (const command of ['check', 'run']) {
      expect(await run([command, '--config', 'many-mistakes.yaml'], { cwd })).toEqual({
        code: 2,
        out: '',
        err: expected,
      })
    }
  })

  it('reports mistakes in routes together with the others, with their lines', async () => {
    await using folder = await tempFolder()
    const file =
      'mqtt: { keepalive: 5 }\nroutes:\n  - pattern: a#\n  - pattern: "#"\n    mqttPrefix: mqtt\n'
    await writeFile(join(folder.path, 'b.yaml'), file)
    const { code, err } = await run(['check', '--config', 'b.yaml'], { cwd: folder.path })
    expect(code).toBe(2)
    expect(err).toMatch(/^3 problems/)
    for (const place of [
      'b.yaml:1',
      'routes[0].pattern    b.yaml:3',
      'routes[1].mqttPrefix  b.yaml:5',
    ]) {
      expect(err.replaceAll(/ +/g, ' ')).toContain(place.replaceAll(/ +/g, ' '))
    }
  })

  it('exits with 2 when the file is not there', async () => {
    const { code, err } = await run(['check', '--config', 'missing.yaml'])
    expect(code).toBe(2)
    expect(err).toContain("reading configuration file 'missing.yaml'")
  })

  it('prints the resolved configuration and the plan of each route', async () => {
    const cwd = join(GOLDEN, 'check')
    const expected = await readFile(join(cwd, 'two-routes.expected.txt'), 'utf8')
    const { code, out, err } = await run(['check', '--config', 'two-routes.yaml'], { cwd })
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out.replaceAll(cwd, '.')).toBe(expected)
  })

  it('never shows a secret, in any form', async () => {
    const cwd = join(GOLDEN, 'check')
    for (const output of ['text', 'json', 'yaml']) {
      const { out } = await run(['check', '--config', 'two-routes.yaml', '--output', output], {
        cwd,
      })
      expect(out).not.toContain('canary')
      expect(out).toContain('[redacted]')
    }
  })

  it('prints the same as JSON and YAML', async () => {
    const cwd = join(GOLDEN, 'check')
    const json = await run(['check', '--config', 'two-routes.yaml', '--output', 'json'], { cwd })
    const yaml = await run(['check', '--config', 'two-routes.yaml', '--output', 'yaml'], { cwd })
    expect(parse(yaml.out)).toEqual(JSON.parse(json.out))
    expect(JSON.parse(json.out).routes[0]).toMatchObject({
      name: 'sensors',
      wildcards: ['sensors.>', 'sensors'],
    })
  })

  it('reports what both sides offer, and exits with 1 for a durable route without stream', async () => {
    await using mosquitto = await startMosquitto()
    await using nats = await startNatsServer({ jetstream: true })
    const env = { MQTTNATS_MQTT_URL: mosquitto.url, MQTTNATS_NATS_SERVERS: nats.url }
    const good = await run(['check', '--connect', '--output', 'json'], { env })
    expect(good.code).toBe(0)
    const { connections } = JSON.parse(good.out)
    for (const text of [
      /MQTT 5, mosquitto version/,
      /receive maximum 20/,
      /nats-server 2\./,
      /JetStream, 0 streams/,
    ]) {
      expect(connections).toContainEqual(
        expect.objectContaining({ level: 'ok', text: expect.stringMatching(text) }),
      )
    }
    expect(connections).toContainEqual(
      expect.objectContaining({
        side: 'mqtt',
        level: 'warning',
        advice: expect.stringContaining('max_queued_messages'),
      }),
    )
    const durable = { ...env, MQTTNATS_ROUTES: '[{"pattern":"#","delivery":"durable"}]' }
    const bad = await run(['check', '--connect'], { env: durable })
    expect(bad.code).toBe(1)
    expect(bad.out).toMatch(/nats {2}problem {2}route #: durable, and no stream covers it/)
  })

  it('exits with 1 and says why when a side is away', async () => {
    const env = {
      MQTTNATS_MQTT_URL: `mqtt://127.0.0.1:${await freePort()}`,
      MQTTNATS_NATS_SERVERS: `nats://127.0.0.1:${await freePort()}`,
    }
    const { code, out } = await run(['check', '--connect', '--output', 'json'], { env })
    expect(code).toBe(1)
    const problems = JSON.parse(out).connections.filter(
      (one: { level: string }) => one.level === 'problem',
    )
    expect(
      problems.map((one: { side: string; text: string }) => [one.side, one.text.split(':')[0]]),
    ).toEqual([
      ['mqtt', 'CONNECT_REFUSED'],
      ['nats', 'CONNECT_REFUSED'],
    ])
  })
})

describe('explain', () => {
  it('tells where a topic goes without any configuration', async () => {
    const { code, out } = await run(['explain', 'mqtt/sensors/temp', '--output', 'json'])
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({
      direction: 'mqttToNats',
      carried: { target: 'sensors.temp', qos: 1, back: { target: 'mqtt/sensors/temp' } },
    })
  })

  it('reads the name as it is told to', async () => {
    const { out } = await run(['explain', 'temp', '--from', 'nats'])
    expect(out).toMatch(/^NATS temp → MQTT mqtt\/temp\n/)
  })

  it('asks the server which stream stores the subject', async () => {
    await using nats = await startNatsServer({ jetstream: true })
    const env = { MQTTNATS_NATS_SERVERS: nats.url }
    const { code, out } = await run(['explain', 'mqtt/a', '--connect'], { env })
    expect(code).toBe(0)
    expect(out).toContain('confirmed, no stream stores the subject')
  })
})

describe('user hash', () => {
  it('makes a line of the users file from standard input', async () => {
    const child = spawn(process.execPath, [PROGRAM, 'user', 'hash', 'bob'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    child.stdin.end('secret\n')
    let out = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0)
    const made = parseUsers(out, 'users').get('bob')
    expect(made).toBeDefined()
    expect(await verifyPassword(Buffer.from('secret'), made!)).toBe(true)
  })
})

async function run(
  args: readonly string[],
  options: { cwd?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<{ code: number | null; out: string; err: string }> {
  const env = { ...process.env, ...options.env }
  const child = await startChild(process.execPath, [PROGRAM, ...args], {
    cwd: options.cwd ?? ROOT,
    env,
  })
  const { code } = await child.ended
  return { code, out: child.stdout(), err: child.stderr() }
}
