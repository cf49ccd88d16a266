import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { describeConfig, filesOf } from '../../../src/config/describe.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { envName } from '../../../src/config/paths.ts'
import { formatProblems, problemsOf } from '../../../src/config/problems.ts'
import { SECTIONS, SETTING_PATHS, settingOf } from '../../../src/config/schema.ts'
import { BridgeError } from '../../../src/core/errors.ts'
import { tempFolder } from '../../support/temp.ts'

type Env = Record<string, string>

async function fromText(text: string, env: Env = {}, flags: Record<string, unknown> = {}) {
  await using folder = await tempFolder()
  writeFileSync(join(folder.path, 'b.yaml'), text)
  return { ...loadConfig({ file: 'b.yaml', env, flags, cwd: folder.path }), folder: folder.path }
}

const fromEnv = (env: Env, flags: Record<string, unknown> = {}) =>
  loadConfig({ env, flags, cwd: '/c' }).config

function report(load: () => unknown): string[] {
  try {
    load()
  } catch (error) {
    if (problemsOf(error).length === 0) throw error
    return problemsOf(error).map(({ path, text, source }) => `${path} ${text} (${source})`)
  }
  return []
}

const envReport = (env: Env, flags?: Record<string, unknown>) => report(() => fromEnv(env, flags))

async function fileReport(text: string, env: Env = {}): Promise<string[]> {
  try {
    await fromText(text, env)
  } catch (error) {
    return report(() => {
      throw error
    })
  }
  return []
}

const secretPaths = SETTING_PATHS.filter((path) => settingOf(path).format.name === 'secret')

describe('defaults', () => {
  it('make a bridge between both usual ports of this machine', () => {
    const { config } = loadConfig({ env: {} })
    expect(config).toEqual({
      mqtt: {
        urls: ['mqtt://127.0.0.1:1883'],
        useEmbedded: false,
        protocolVersion: 5,
        clientId: 'mqtt-nats-bridge',
        tls: {},
        keepalive: 30,
        sessionExpiry: 604_800,
        connectTimeout: 10_000,
        window: 1000,
        maxPacketSize: 4_194_304,
        embedded: { listen: '127.0.0.1:1883' },
      },
      nats: {
        servers: ['nats://127.0.0.1:4222'],
        auth: {},
        name: 'mqtt-nats-bridge',
        connectTimeout: 10_000,
        pingInterval: 20_000,
        window: 1000,
        windowBytes: 16_777_216,
      },
      routes: [
        expect.objectContaining({
          ...{ name: '#', pattern: '#', direction: 'both', qos: 1, mqttPrefix: 'mqtt/' },
          ...{ natsPrefix: '', exclude: ['$SYS/#'], delivery: 'auto', class: 'event' },
        }),
      ],
      http: { host: '127.0.0.1', port: 8080 },
      log: { level: 'info', format: 'auto' },
      shutdownTimeout: 10_000,
    })
  })

  it('are frozen all the way down', () => {
    const { config } = loadConfig({
      env: { MQTTNATS_MQTT_USERNAME: 'u', MQTTNATS_MQTT_PASSWORD: 'p' },
    })
    const check = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return
      expect(Object.isFrozen(value)).toBe(true)
      for (const inner of Object.values(value)) check(inner)
    }
    check(config)
  })
})

describe('layers', () => {
  it('win in the order file, environment, flags, and are remembered', async () => {
    const text = 'log: { level: warn, format: json }\nmqtt:\n  clientId: file\n  window: "7"\n'
    const env = { MQTTNATS_LOG_LEVEL: 'error', MQTTNATS_MQTT_CLIENT_ID: 'env' }
    const { config, sources, sourceOf } = await fromText(text, env, {
      'log.level': 'debug',
      'mqtt.window': '9',
      'log.format': undefined,
    })
    expect(config.log).toEqual({ level: 'debug', format: 'json' })
    expect(config.mqtt).toMatchObject({ clientId: 'env', window: 9 })
    expect(config.nats.name).toBe('env')
    const source = Object.fromEntries(sources.map((one) => [one.path, one.source]))
    expect(source).toMatchObject({
      'log.level': '--log-level',
      'log.format': 'b.yaml:1',
      'mqtt.clientId': 'MQTTNATS_MQTT_CLIENT_ID',
      'mqtt.window': '--mqtt-window',
      'mqtt.url': 'default',
    })
    expect(sourceOf('routes[0].pattern')).toBe('default')
  })

  it('every setting has its own variable', () => {
    const names = SETTING_PATHS.map(envName)
    expect(new Set(names).size).toBe(SETTING_PATHS.length)
    expect(names).toEqual(
      expect.arrayContaining([
        'MQTTNATS_MQTT_URL',
        'MQTTNATS_NATS_SERVERS',
        'MQTTNATS_SHUTDOWN_TIMEOUT',
        'MQTTNATS_NATS_TLS_HANDSHAKE_FIRST',
        'MQTTNATS_MQTT_MAX_PACKET_SIZE',
      ]),
    )
  })

  it('variables hold lists, booleans, numbers and routes', () => {
    const config = fromEnv({
      MQTTNATS_NATS_SERVERS: 'nats://a,nats://b:1',
      MQTTNATS_NATS_TLS_HANDSHAKE_FIRST: 'true',
      MQTTNATS_MQTT_PROTOCOL_VERSION: '4',
      MQTTNATS_MQTT_PASSWORD: '12345',
      MQTTNATS_MQTT_USERNAME: 'u',
      MQTTNATS_ROUTES: '[{"pattern":"x"}]',
      MQTTNATS_HTTP_LISTEN: 'off',
      MQTTNATS_MQTT_CLIENT_ID: '',
      OTHER: 'x',
    })
    expect(config.nats.servers).toEqual(['nats://a:4222', 'nats://b:1'])
    expect(config.nats.tls).toEqual({ handshakeFirst: true })
    expect(config.mqtt.protocolVersion).toBe(4)
    expect(config.mqtt.password?.read()).toBe('12345')
    expect(config.routes[0]?.pattern).toBe('x')
    expect(config.http).toBeUndefined()
    expect(config.mqtt.clientId).toBe('mqtt-nats-bridge')
  })

  it('MQTTNATS_CONFIG names the file, and the file of the command line goes before it', async () => {
    await using folder = await tempFolder()
    writeFileSync(join(folder.path, 'a.yaml'), 'mqtt: { clientId: a }')
    writeFileSync(join(folder.path, 'b.json'), '{"$schema": "x", "mqtt": {"clientId": "b"}}')
    const input = { env: { MQTTNATS_CONFIG: 'a.yaml' }, cwd: folder.path }
    expect(loadConfig(input)).toMatchObject({
      file: join(folder.path, 'a.yaml'),
      config: { mqtt: { clientId: 'a' } },
    })
    expect(loadConfig({ ...input, file: 'b.json' }).config.mqtt.clientId).toBe('b')
    expect(() => loadConfig({ ...input, file: 'c.yaml' })).toThrowError(
      expect.objectContaining({ code: 'CONFIG_UNREADABLE' }),
    )
  })

  it('MQTTNATS_TOOLS, which only the demo reads, is no mistake', () => {
    expect(envReport({ MQTTNATS_TOOLS: '/tools' })).toEqual([])
  })

  it('variables and flags that are no settings are mistakes with a guess', () => {
    expect(envReport({ MQTTNATS_MQTT_URI: 'x', MQTTNATS_QQQQQQQQQQ: 'x' })).toEqual([
      'MQTTNATS_MQTT_URI is not a setting; did you mean MQTTNATS_MQTT_URL? (environment)',
      'MQTTNATS_QQQQQQQQQQ is not a setting; a variable is called MQTTNATS_ and the path, such as MQTTNATS_MQTT_URL (environment)',
    ])
    expect(envReport({}, { 'log.lvl': 'x', toString: 'x' })).toEqual([
      'log.lvl is not a setting; did you mean log.level? (--log-lvl)',
      'toString is not a setting; see docs/configuration.md (--to-string)',
    ])
  })

  it('variables that Kubernetes makes for services are left alone, one that looks like them is not', () => {
    const links = {
      MQTTNATS_SERVICE_HOST: '10.0.0.1',
      MQTTNATS_SERVICE_PORT: '80',
      MQTTNATS_X_SERVICE_PORT_HTTP: '80',
      MQTTNATS_PORT: 'tcp://10.0.0.1:80',
      MQTTNATS_PORT_80_TCP: 'tcp://10.0.0.1:80',
      MQTTNATS_PORT_80_TCP_ADDR: '10.0.0.1',
    }
    expect(envReport(links)).toEqual([])
    expect(envReport({ MQTTNATS_MQTT_PORT: '1883' })).toHaveLength(1)
  })

  it('a flag holds a value, and null counts as not set', () => {
    expect(envReport({}, { 'mqtt.url': { a: {} }, 'log.level': null })).toEqual([
      expect.stringMatching(/^mqtt\.url is a section, not a value: .* \(--mqtt-url\)$/),
    ])
  })

  it('values of variables and flags are checked under their own name', () => {
    expect(envReport({ MQTTNATS_MQTT_KEEPALIVE: '30' }, { 'log.level': 'loud' })).toEqual([
      "mqtt.keepalive '30' has no unit: write 30s or 30ms (MQTTNATS_MQTT_KEEPALIVE)",
      "log.level 'loud' is not known: write trace, debug, info, warn, error or silent (--log-level)",
    ])
    expect(envReport({ MQTTNATS_ROUTES: '[{}]' })[0]).toMatch(/^routes\[0\]\.pattern .*_ROUTES\)$/)
  })
})

describe('files', () => {
  it('relative paths count from where they are written', async () => {
    const text = 'nats: { auth: { jwtFile: sub/user.jwt }, tls: { caFile: /abs/ca.pem } }'
    await using other = await tempFolder()
    const path = join(other.path, 'x.yaml')
    writeFileSync(path, text)
    const env = { MQTTNATS_MQTT_PASSWORD_FILE: 'pw', MQTTNATS_MQTT_USERNAME: 'u' }
    const { config, file } = loadConfig({ file: path, env, cwd: '/work-dir' })
    expect(config.nats.auth.jwt?.file).toBe(join(other.path, 'sub/user.jwt'))
    expect(config.nats.tls?.caFile).toBe('/abs/ca.pem')
    expect(config.mqtt.password?.origin).toBe('file /work-dir/pw')
    expect(filesOf(config, file)).toEqual([
      ...[path, '/work-dir/pw', join(other.path, 'sub/user.jwt'), '/abs/ca.pem'],
    ])
  })

  it('lists the files of the embedded broker when it runs, each file once', () => {
    const env = {
      MQTTNATS_MQTT_URL: 'embedded',
      MQTTNATS_MQTT_EMBEDDED_USERS_FILE: 'users',
      MQTTNATS_MQTT_EMBEDDED_CERT_FILE: 'both.pem',
      MQTTNATS_MQTT_EMBEDDED_KEY_FILE: 'both.pem',
    }
    const config = fromEnv(env)
    expect(config.mqtt).toMatchObject({ urls: [], useEmbedded: true })
    expect(filesOf(config)).toEqual(['/c/users', '/c/both.pem'])
    expect(filesOf(fromEnv({ ...env, MQTTNATS_MQTT_URL: 'mqtt://x' }))).toEqual([])
  })

  it('merged keys count as written in the file', async () => {
    const text = 'mqtt: { tls: &t { caFile: ca.pem }, url: mqtts://a }\nnats: { tls: { <<: *t } }'
    const { config, sourceOf, folder } = await fromText(text)
    expect(config.nats.tls).toEqual({ caFile: join(folder, 'ca.pem'), handshakeFirst: false })
    expect(sourceOf('nats.tls.caFile')).toBe('b.yaml:2')
  })

  it('empty sections are as good as none', async () => {
    const { config } = await fromText('mqtt:\nnats:\n  tls:\nlog: {}\n')
    expect(config).toEqual(loadConfig({ env: {} }).config)
  })

  it.each([
    ['7', '(file) holds 7'],
    ['[1]', '(file) holds a list'],
    ['mqtt: { keepalive: }', 'mqtt.keepalive is empty'],
    ['mqtt: { url: { host: x } }', 'mqtt.url is a section, not a value'],
    ['mqtt: { caFile: x }', 'mqtt.caFile is not a setting; did you mean mqtt.tls.caFile?'],
    ['nats: { jwtFile: x }', 'nats.jwtFile is not a setting; did you mean nats.auth.jwtFile?'],
    ['nats: { url: x }', 'nats.url is not a setting; did you mean nats.servers?'],
    ['keepalive: 1s', 'keepalive is not a setting; did you mean mqtt.keepalive?'],
    ['mqtt: { keep_alive: 1s }', 'mqtt.keep_alive is not a setting; did you mean mqtt.keepalive?'],
    ['mqtt: { constructor: 1 }', 'mqtt.constructor is not a setting; mqtt has url'],
    ['{ "a.b": 1 }', '"a.b" is not a setting; the top level has mqtt'],
    ['mqtt: { $schema: x }', 'mqtt.$schema is not a setting'],
  ])('%s is refused', async (text, start) => {
    expect((await fileReport(text))[0]).toContain(start)
  })
})

describe('TLS', () => {
  it('of NATS comes with the scheme or with the section', async () => {
    expect(fromEnv({ MQTTNATS_NATS_SERVERS: 'tls://a' }).nats.tls).toEqual({
      handshakeFirst: false,
    })
    expect((await fromText('nats: { tls: {} }')).config.nats.tls).toEqual({ handshakeFirst: false })
  })

  it('takes a server name without its trailing dot', () => {
    const tls = { MQTTNATS_NATS_TLS_SERVER_NAME: 'a.example.' }
    expect(fromEnv(tls).nats.tls?.serverName).toBe('a.example')
  })

  it('takes certificate and key together', () => {
    expect(envReport({ MQTTNATS_NATS_TLS_CERT_FILE: 'a' })[0]).toContain(
      'nats.tls.certFile is given without nats.tls.keyFile',
    )
    expect(envReport({ MQTTNATS_MQTT_EMBEDDED_KEY_FILE: 'a' })[0]).toContain(
      'mqtt.embedded.keyFile is given without mqtt.embedded.certFile',
    )
  })

  it('of MQTT needs a scheme that asks for it', () => {
    const env = { MQTTNATS_MQTT_TLS_CA_FILE: 'a' }
    expect(envReport(env)[0]).toContain('mqtt.tls.caFile has no effect')
    expect(envReport({ ...env, MQTTNATS_MQTT_URL: 'mqtt://a,wss://b' })).toEqual([])
    expect(envReport({ ...env, MQTTNATS_MQTT_URL: 'embedded' })).toEqual([])
    expect(envReport({ ...env, MQTTNATS_MQTT_URL: 'nonsense' })).toHaveLength(1)
  })
})

describe('credentials', () => {
  const nats = (keys: Record<string, string>) =>
    Object.fromEntries(
      Object.entries(keys).map(([key, value]) => [`MQTTNATS_NATS_AUTH_${key}`, value]),
    )

  it.each([
    [{ JWT: 'x' }, ['jwt']],
    [{ JWT_FILE: 'x', SEED_FILE: 'y' }, ['jwt', 'seed']],
    [{ CREDS: 'x' }, ['creds']],
    [{ SEED: 'x' }, ['seed']],
    [{ USERNAME: 'x', PASSWORD: 'y' }, ['username', 'password']],
    [{ TOKEN_FILE: 'x' }, ['token']],
    [{}, []],
  ])('NATS takes %j', (keys, parts) => {
    expect(Object.keys(fromEnv(nats(keys as Record<string, string>)).nats.auth)).toEqual(parts)
  })

  it.each([
    [{ CREDS: 'x', SEED: 'y' }, 'creds hold the JWT and the seed already'],
    [{ TOKEN: 'x', JWT: 'y' }, 'with JWT or seed and token given: keep one'],
    [{ USERNAME: 'x' }, 'is given without a password'],
    [{ PASSWORD: 'x' }, 'is given without a user name'],
    [{ JWT: 'x', JWT_FILE: 'y' }, 'nats.auth.jwtFile stands beside nats.auth.jwt (MQTTNATS_NATS'],
  ])('NATS refuses %j', (keys, text) => {
    expect(envReport(nats(keys as Record<string, string>)).join()).toContain(text)
  })

  it('user info in nats.servers is a user or a token, and the only way to log in', () => {
    const user = fromEnv({ MQTTNATS_NATS_SERVERS: 'nats://u:p@a,nats://u:p@b,nats://c' }).nats
    expect(user.servers).toEqual(['nats://a:4222', 'nats://b:4222', 'nats://c:4222'])
    expect([user.auth.username, user.auth.password?.read()]).toEqual(['u', 'p'])
    const token = fromEnv({ MQTTNATS_NATS_SERVERS: 'nats://t@a' }).nats.auth
    expect([token.username, token.token?.read()]).toEqual([undefined, 't'])
    const both = { MQTTNATS_NATS_SERVERS: 'nats://t@a', ...nats({ JWT: 'x' }) }
    expect(envReport(both)[0]).toContain('JWT or seed and user info in nats.servers given')
    const two = { MQTTNATS_NATS_SERVERS: 'nats://t@a,nats://s@b' }
    expect(envReport(two)[0]).toContain('names several users')
  })

  it('user info in mqtt.url is user name and password, unless these are given too', () => {
    const { mqtt } = fromEnv({ MQTTNATS_MQTT_URL: 'mqtts://u:p@a' })
    expect([mqtt.urls, mqtt.username, mqtt.password?.read()]).toEqual([
      ['mqtts://a:8883'],
      'u',
      'p',
    ])
    const report = (url: string, env: Env = {}) => envReport({ MQTTNATS_MQTT_URL: url, ...env })[0]
    expect(report('mqtt://u@a', { MQTTNATS_MQTT_USERNAME: 'x' })).toContain('user info in mqtt.url')
    expect(report('mqtt://:p@a')).toContain('has a password without a user name')
    expect(report('mqtt://u:p@a,mqtt://u:q@a')).toContain('names several users')
  })

  it('an MQTT password needs a user name, and stands in one place', () => {
    const env = { MQTTNATS_MQTT_PASSWORD: 'p' }
    expect(envReport(env)[0]).toContain('is given without a user name: set mqtt.username too')
    const twins = { ...env, MQTTNATS_MQTT_PASSWORD_FILE: 'f', MQTTNATS_MQTT_USERNAME: 'u' }
    expect(envReport(twins)[0]).toContain('mqtt.passwordFile stands beside mqtt.password')
  })
})

describe('secrets', () => {
  const canary = 'canary-7f3a'

  it.each(secretPaths)('%s of the wrong type shows itself in no problem', async (path) => {
    for (const value of [
      `[${canary}]`,
      `{ ${canary.replace('-', '')}: ${canary} }`,
      `[[${canary}]]`,
    ]) {
      const names = path.split('.')
      const text = `${names.map((name) => `{ ${name}: `).join('')}${value}${' }'.repeat(names.length)}`
      const lines = await fileReport(text)
      expect(lines.length).toBeGreaterThan(0)
      expect(lines.join()).not.toContain(canary)
    }
    const flag = envReport({}, { [path]: { toString: () => canary } })
    expect(flag.join()).not.toContain(canary)
  })

  it.each(secretPaths)('%s is printed in no way', (path) => {
    const user = path.replace(/\w+$/, 'username')
    const flags = { [path]: canary, ...(path.endsWith('.password') ? { [user]: 'u' } : {}) }
    const { config } = loadConfig({ env: {}, flags })
    const printed = [
      JSON.stringify(config),
      JSON.stringify(describeConfig(config)),
      inspect(config, { depth: Number.POSITIVE_INFINITY, showHidden: true }),
      String(config),
      ...Object.values(config.nats.auth).map(String),
      `${config.mqtt.password}`,
    ].join('\n')
    expect(printed).not.toContain(canary)
    expect(printed).toContain('[redacted]')
  })

  it.each(['mqtt.url', 'nats.servers'])('user info in %s is printed in no way', (path) => {
    const scheme = path === 'mqtt.url' ? 'mqtt' : 'nats'
    const { config } = loadConfig({ env: {}, flags: { [path]: `${scheme}://u:${canary}@h` } })
    expect(inspect(config, { depth: 9, showHidden: true })).not.toContain(canary)
    for (const url of [
      `${scheme}://u:${canary}@h:x`,
      `${canary}`,
      `x://u:${canary}@h`,
      [[canary]],
    ]) {
      expect(envReport({}, { [path]: url }).join()).not.toContain(canary)
    }
  })
})

describe('descriptions', () => {
  it('speak as a configuration file does, and load as one', async () => {
    const text = JSON.stringify({
      mqtt: { url: ['mqtts://a', 'mqtts://b'], username: 'u', passwordFile: '/p' },
      nats: { account: 'IOT', auth: { jwtFile: '/j' }, tls: { handshakeFirst: true } },
      routes: [{ pattern: 'a', class: 'command', ttl: '30s', startAt: 7 }, { pattern: '#' }],
      http: { listen: 'off' },
    })
    const { config } = await fromText(text)
    const described = describeConfig(config)
    expect(described).toMatchObject({
      mqtt: { url: ['mqtts://a:8883', 'mqtts://b:8883'], keepalive: '30s', passwordFile: '/p' },
      nats: { auth: { jwtFile: '/j' }, windowBytes: '16MiB' },
      routes: [{ ttl: '30s', startAt: 7 }, { startAt: 'new' }],
      http: { listen: 'off' },
    })
    expect((await fromText(JSON.stringify(described))).config).toEqual(config)
  })

  it('name the embedded broker', () => {
    expect(describeConfig(fromEnv({ MQTTNATS_MQTT_URL: 'embedded' }))).toMatchObject({
      mqtt: { url: 'embedded', embedded: { listen: '127.0.0.1:1883' } },
    })
  })
})

describe('anything at all', () => {
  const keys = [
    ...new Set([...SETTING_PATHS, ...Object.keys(SECTIONS)].flatMap((p) => p.split('.'))),
  ]
  const key = fc.oneof(fc.constantFrom(...keys, '__proto__', 'constructor', 'a.b'), fc.string())
  const { tree } = fc.letrec((tie) => ({
    leaf: fc.oneof(
      fc.string(),
      fc.integer(),
      fc.boolean(),
      fc.constantFrom(null, 'mqtt://u:p@h', '1s'),
    ),
    node: fc.dictionary(key, tie('tree'), { maxKeys: 5, noNullPrototype: true }),
    tree: fc.oneof(
      { depthSize: 'small' },
      tie('leaf'),
      fc.array(tie('tree'), { maxLength: 3 }),
      tie('node'),
    ),
  }))

  it('in a file, in variables or in flags either loads or is a BridgeError with a report', async () => {
    await using folder = await tempFolder()
    const file = join(folder.path, 'x.json')
    const texts = fc.oneof(
      fc.string(),
      tree.map((value) => JSON.stringify(value)),
    )
    const path = fc.constantFrom(...SETTING_PATHS)
    const variables = fc.dictionary(path.map(envName), texts)
    const flags = fc.dictionary(path, fc.oneof(texts, tree))
    fc.assert(
      fc.property(fc.dictionary(key, tree), variables, flags, (root, env, given) => {
        writeFileSync(file, JSON.stringify(root))
        try {
          loadConfig({ file, env, flags: given })
        } catch (error) {
          expect(error).toBeInstanceOf(BridgeError)
          expect((error as BridgeError).code).toBe('CONFIG_INVALID')
          expect(formatProblems(problemsOf(error))).toContain('in the configuration')
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('routes that others judge', () => {
  const checkRoutes = () => [{ path: 'routes[0].pattern', text: 'cannot be' }]

  it('have their mistakes reported with all others, each with its source', async () => {
    await using folder = await tempFolder()
    writeFileSync(join(folder.path, 'b.yaml'), 'routes:\n  - pattern: "#"\nlog: { level: loud }\n')
    const load = () => loadConfig({ file: 'b.yaml', env: {}, cwd: folder.path, checkRoutes })
    expect(report(load)).toEqual([
      'routes[0].pattern cannot be (b.yaml:2)',
      expect.stringMatching(/^log\.level .*\(b\.yaml:3\)$/),
    ])
  })

  it('are not shown to others while they are not well written', () => {
    const load = () => loadConfig({ env: {}, flags: { routes: '[{}]' }, checkRoutes })
    expect(report(load)).toEqual([expect.stringMatching(/^routes\[0\]\.pattern is missing/)])
  })
})
