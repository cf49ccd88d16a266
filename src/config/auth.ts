import type { MqttConfig, NatsAuthConfig, Secret } from '../core/config.ts'
import { EMBEDDED, type Endpoint } from './addresses.ts'
import type { SettingPath, Values } from './schema.ts'
import { FileSecret, InlineSecret } from './secret.ts'

/** What the checks across settings ask and tell. */
export interface Checks {
  /** What was read so far; a setting with a mistake is absent. */
  readonly values: Partial<Values>
  /** Whether somebody set it, rightly or not. */
  isSet(path: SettingPath): boolean
  /** Where a setting came from, as problems show it. */
  sourceOf(path: string): string
  /** Notes a problem. */
  report(path: string, text: string): void
}

/** Finds the path of a file setting: relative ones count from where they are written. */
export type Resolve = (path: SettingPath, file: string) => string

const TWINS: readonly (readonly [inline: SettingPath, file: SettingPath])[] = [
  ['mqtt.password', 'mqtt.passwordFile'],
  ['nats.auth.jwt', 'nats.auth.jwtFile'],
  ['nats.auth.seed', 'nats.auth.seedFile'],
  ['nats.auth.creds', 'nats.auth.credsFile'],
  ['nats.auth.password', 'nats.auth.passwordFile'],
  ['nats.auth.token', 'nats.auth.tokenFile'],
]

/** Reports what does not go together in the credentials of both sides. */
export function checkCredentials(checks: Checks): void {
  for (const [inline, file] of TWINS) {
    if (checks.isSet(inline) && checks.isSet(file)) {
      const source = checks.sourceOf(inline)
      checks.report(file, `stands beside ${inline} (${source}): keep one of the two, best the file`)
    }
  }
  checkMqtt(checks)
  checkNats(checks)
}

function checkMqtt(checks: Checks): void {
  const password = given(checks, ['mqtt.password', 'mqtt.passwordFile'])
  const user = userInfo(mqttEndpoints(checks.values))
  checkOneUser(checks, 'mqtt.url', mqttEndpoints(checks.values))
  if (user === undefined) {
    if (password !== undefined && !checks.isSet('mqtt.username')) {
      checks.report(password, 'is given without a user name: set mqtt.username too')
    }
    return
  }
  const also = given(checks, ['mqtt.username', 'mqtt.password', 'mqtt.passwordFile'])
  if (also !== undefined) {
    checks.report(also, 'stands beside user info in mqtt.url: take the user info out of the URL')
  } else if (user.username === undefined) {
    checks.report(
      'mqtt.url',
      'has a password without a user name: write mqtts://name:password@host',
    )
  }
}

function checkNats(checks: Checks): void {
  checkOneUser(checks, 'nats.servers', checks.values['nats.servers'] ?? [])
  const ways = natsWays(checks)
  const last = ways.at(-1)
  if (ways.length > 1 && last !== undefined) {
    const names = ways.map(({ name }) => name)
    const list = `${names.slice(0, -1).join(', ')} and ${last.name}`
    checks.report(last.path, `is one way too many to log in, with ${list} given: ${remedy(names)}`)
  }
  const user = given(checks, ['nats.auth.username'])
  const password = given(checks, ['nats.auth.password', 'nats.auth.passwordFile'])
  if (user !== undefined && password === undefined) {
    checks.report(user, 'is given without a password: set nats.auth.passwordFile too')
  } else if (user === undefined && password !== undefined) {
    checks.report(password, 'is given without a user name: set nats.auth.username too')
  }
}

/** The ways to log in of which any setting is given, in a fixed order. */
function natsWays(checks: Checks): { name: string; path: SettingPath }[] {
  const groups: readonly (readonly [string, readonly SettingPath[]])[] = [
    ['JWT or seed', ['nats.auth.jwt', 'nats.auth.jwtFile', 'nats.auth.seed', 'nats.auth.seedFile']],
    ['creds', ['nats.auth.creds', 'nats.auth.credsFile']],
    [
      'username and password',
      ['nats.auth.username', 'nats.auth.password', 'nats.auth.passwordFile'],
    ],
    ['token', ['nats.auth.token', 'nats.auth.tokenFile']],
  ]
  const ways: { name: string; path: SettingPath }[] = []
  for (const [name, paths] of groups) {
    const path = given(checks, paths)
    if (path !== undefined) ways.push({ name, path })
  }
  if (userInfo(checks.values['nats.servers'] ?? []) !== undefined) {
    ways.push({ name: 'user info in nats.servers', path: 'nats.servers' })
  }
  return ways
}

function remedy(ways: readonly string[]): string {
  const isCredsAndParts = ways.length === 2 && ways[0] === 'JWT or seed' && ways[1] === 'creds'
  return isCredsAndParts
    ? 'creds hold the JWT and the seed already, so keep either'
    : 'keep one of jwt (alone or with seed), seed, creds, username with password, token'
}

function checkOneUser(checks: Checks, path: SettingPath, endpoints: readonly Endpoint[]): void {
  const named = endpoints.filter(hasUserInfo)
  const isOther = ({ username, password }: Endpoint) =>
    username !== named[0]?.username || password !== named[0]?.password
  if (named.some(isOther)) {
    checks.report(path, 'names several users: the bridge is one user, write the same in each URL')
  }
}

function given(checks: Checks, paths: readonly SettingPath[]): SettingPath | undefined {
  return paths.find((path) => checks.isSet(path))
}

function mqttEndpoints(values: Partial<Values>): readonly Endpoint[] {
  const endpoints = values['mqtt.url'] ?? []
  return endpoints === EMBEDDED ? [] : endpoints
}

function userInfo(endpoints: readonly Endpoint[]): Endpoint | undefined {
  return endpoints.find(hasUserInfo)
}

function hasUserInfo({ username, password }: Endpoint): boolean {
  return username !== undefined || password !== undefined
}

/** User name and password of the MQTT side, from their settings or from the URL. */
export function mqttLogin(
  values: Values,
  resolve: Resolve,
): Pick<MqttConfig, 'username' | 'password'> {
  const user = userInfo(mqttEndpoints(values))
  const username = values['mqtt.username'] ?? user?.username
  const password =
    secretOf(values, 'mqtt.password', 'mqtt.passwordFile', resolve) ?? inline(user?.password)
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  }
}

/** Credentials of the NATS side; user info without a colon is a token, as NATS clients read it. */
export function natsLogin(values: Values, resolve: Resolve): NatsAuthConfig {
  const user = userInfo(values['nats.servers'])
  const isToken = user !== undefined && user.password === undefined
  const username = values['nats.auth.username'] ?? (isToken ? undefined : user?.username)
  const secret = (inlinePath: SecretPath, filePath: FilePath) =>
    secretOf(values, inlinePath, filePath, resolve)
  const parts: { readonly [K in keyof NatsAuthConfig]: NatsAuthConfig[K] | undefined } = {
    jwt: secret('nats.auth.jwt', 'nats.auth.jwtFile'),
    seed: secret('nats.auth.seed', 'nats.auth.seedFile'),
    creds: secret('nats.auth.creds', 'nats.auth.credsFile'),
    username,
    password: secret('nats.auth.password', 'nats.auth.passwordFile') ?? inline(user?.password),
    token:
      secret('nats.auth.token', 'nats.auth.tokenFile') ??
      inline(isToken ? user.username : undefined),
  }
  const isGiven = ([, part]: readonly [string, unknown]) => part !== undefined
  return Object.fromEntries(Object.entries(parts).filter(isGiven))
}

type SecretPath = Extract<
  SettingPath,
  `${string}.${'jwt' | 'seed' | 'creds' | 'password' | 'token'}`
>
type FilePath = `${SecretPath}File` & SettingPath

function secretOf(
  values: Values,
  inlinePath: SecretPath,
  filePath: FilePath,
  resolve: Resolve,
): Secret | undefined {
  const file = values[filePath]
  return file === undefined ? inline(values[inlinePath]) : new FileSecret(resolve(filePath, file))
}

function inline(value: string | undefined): Secret | undefined {
  return value === undefined ? undefined : new InlineSecret(value)
}
