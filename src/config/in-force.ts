import { createHash } from 'node:crypto'
import type { BridgeConfig, Secret } from '../core/config.ts'
import { describeConfig } from './describe.ts'

/** What metrics say about the configuration; times in milliseconds since the epoch. */
export interface ConfigState {
  /** Digest of what is in force; tells nothing about secrets. */
  readonly hash: string
  readonly lastReloadOk: boolean
  readonly lastReloadOkAt: number
}

/** What taking a configuration over came to. */
export interface Taken {
  /** Paths of settings that are in force at the next start only. */
  readonly pending: readonly string[]
  /** The log level to set now, when it has changed. */
  readonly level?: BridgeConfig['log']['level']
}

/** Path of the one setting that is taken over while running. */
const LEVEL = 'log.level'

/** Remembers which configuration is in force, and finds what another one changes. */
export class ConfigInForce {
  readonly #settings: Map<string, string>
  /** Digests of the inline secrets, which stay here. */
  readonly #secrets: Map<string, string>
  #lastReloadOk = true
  #lastReloadOkAt: number

  /** @param now milliseconds since the epoch */
  constructor(config: BridgeConfig, now: number) {
    this.#settings = flatten(config)
    this.#secrets = secretsOf(config)
    this.#lastReloadOkAt = now
  }

  get state(): ConfigState {
    const digest = createHash('sha256').update(JSON.stringify([...this.#settings]))
    return {
      hash: digest.digest('hex').slice(0, 12),
      lastReloadOk: this.#lastReloadOk,
      lastReloadOkAt: this.#lastReloadOkAt,
    }
  }

  /** Takes over what can be while running. A reading counts as good when nothing waits for the next start. */
  take(config: BridgeConfig, now: number): Taken {
    const wanted = flatten(config)
    const changed = new Set([
      ...differences(this.#settings, wanted),
      ...differences(this.#secrets, secretsOf(config)),
    ])
    const pending = [...changed].filter((path) => path !== LEVEL)
    this.#settings.set(LEVEL, wanted.get(LEVEL) ?? '')
    this.#lastReloadOk = pending.length === 0
    if (this.#lastReloadOk) this.#lastReloadOkAt = now
    return changed.has(LEVEL) ? { pending, level: config.log.level } : { pending }
  }

  /** A reading failed. */
  refuse(): void {
    this.#lastReloadOk = false
  }
}

/** Every setting as text under its path, secrets redacted. */
function flatten(config: BridgeConfig): Map<string, string> {
  const flat = new Map<string, string>()
  const walk = (path: string, value: unknown): void => {
    const isSection = typeof value === 'object' && value !== null && !Array.isArray(value)
    if (!isSection) {
      if (value !== undefined) flat.set(path, JSON.stringify(value))
      return
    }
    for (const [key, inner] of Object.entries(value)) {
      walk(path === '' ? key : `${path}.${key}`, inner)
    }
  }
  walk('', describeConfig(config))
  return flat
}

function differences(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): string[] {
  const paths = new Set([...before.keys(), ...after.keys()])
  return [...paths].filter((path) => before.get(path) !== after.get(path))
}

function secretsOf(config: BridgeConfig): Map<string, string> {
  return new Map(inlineSecrets(config).map(([path, secret]) => [path, digest(secret.read())]))
}

function inlineSecrets({ mqtt, nats }: BridgeConfig): (readonly [string, Secret])[] {
  const { jwt, seed, creds, password, token } = nats.auth
  const all: readonly (readonly [string, Secret | undefined])[] = [
    ['mqtt.password', mqtt.password],
    ...Object.entries({ jwt, seed, creds, password, token }).map(
      ([name, secret]) => [`nats.auth.${name}`, secret] as const,
    ),
  ]
  return all.flatMap(([path, secret]) =>
    secret === undefined || secret.file !== undefined ? [] : [[path, secret] as const],
  )
}

function digest(secret: string): string {
  return createHash('sha256').update(secret).digest('base64')
}
