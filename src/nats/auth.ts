import { createHash } from 'node:crypto'
import type { Authenticator } from 'nats'
import {
  jwtAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from 'nats'
import { fromSeed } from 'nkeys.js'
import type { NatsAuthConfig, Secret } from '../core/config.ts'
import { BridgeError } from '../core/errors.ts'
import { decodeUserJwt, explainJwt, jwtExpiry } from './jwt.ts'

/** What one login is made with. */
export interface Credentials {
  readonly method: 'none' | 'bearer' | 'jwt' | 'creds' | 'nkey' | 'password' | 'token'
  /** Absent for `none`. */
  readonly authenticator?: Authenticator
  /** The user JWT shown to the server, when there is one. */
  readonly jwt?: string
}

/** What the bridge knows besides the secrets themselves. */
export interface AuthContext {
  /** `nats.account`. */
  readonly account?: string
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** The secrets of one moment: read once, so that what is checked is what is sent. */
export interface AuthMaterial {
  readonly jwt?: string
  readonly seed?: string
  readonly creds?: string
  readonly username?: string
  readonly password?: string
  readonly token?: string
  /** Differs when any of the secrets does; tells nothing about them. */
  readonly fingerprint: string
}

const SECRETS = ['jwt', 'seed', 'creds', 'password', 'token'] as const

/** Reads every secret of the configuration. Throws SECRET_UNREADABLE. */
export function readAuth(auth: NatsAuthConfig): AuthMaterial {
  const read: { -readonly [K in (typeof SECRETS)[number]]?: string } = {}
  const hash = createHash('sha256')
  for (const name of SECRETS) {
    const secret: Secret | undefined = auth[name]
    if (secret === undefined) continue
    const value = secret.read().trim()
    read[name] = value
    hash.update(`${name} ${value.length} ${value}`)
  }
  const username = auth.username === undefined ? {} : { username: auth.username }
  return { ...read, ...username, fingerprint: hash.digest('hex') }
}

/**
 * Makes the login of these secrets: a JWT alone is a bearer token, a JWT with a seed (or a creds file, which
 * is both) signs the nonce of the server, a seed alone is an nkey.
 *
 * @throws BridgeError with the reason when the JWT or the seed can be seen to be of no use
 */
export function makeCredentials(material: AuthMaterial, context: AuthContext): Credentials {
  if (material.creds !== undefined) return fromCreds(material.creds, context)
  if (material.jwt !== undefined) return fromJwt(material.jwt, material.seed, context)
  if (material.seed !== undefined) {
    publicKeyOf(material.seed)
    return { method: 'nkey', authenticator: nkeyAuthenticator(Buffer.from(material.seed)) }
  }
  if (material.username !== undefined) {
    const { username, password } = material
    return {
      method: 'password',
      authenticator: usernamePasswordAuthenticator(username, password ?? ''),
    }
  }
  if (material.token !== undefined) {
    return { method: 'token', authenticator: tokenAuthenticator(material.token) }
  }
  return { method: 'none' }
}

/** When the user JWT of these secrets ends, epoch seconds, 0 = never; undefined without one that can be read. */
export function userJwtExpiry(auth: NatsAuthConfig): number | undefined {
  try {
    const { jwt, creds } = readAuth(auth)
    const text = jwt ?? (creds === undefined ? undefined : section(creds, 'NATS USER JWT'))
    return text === undefined ? undefined : jwtExpiry(text)
  } catch {
    // the session says why it cannot be read
    return undefined
  }
}

/** A part of a creds file: what stands between a line of dashes with its name and the next line of dashes. */
function section(creds: string, name: string): string {
  const pattern = new RegExp(`-{3,}\\s*BEGIN ${name}\\s*-{3,}\\s*([^\\s-][^\\s]*)\\s*-{3,}`)
  const value = pattern.exec(creds)?.[1]
  if (value === undefined) {
    throw new BridgeError(`reading the creds file: it has no section '${name}'`, {
      code: 'NATS_JWT_MALFORMED',
    })
  }
  return value
}

function fromCreds(creds: string, context: AuthContext): Credentials {
  const jwt = section(creds, 'NATS USER JWT')
  const seed = section(creds, 'USER NKEY SEED')
  return { ...fromJwt(jwt, seed, context), method: 'creds' }
}

function fromJwt(jwt: string, seed: string | undefined, context: AuthContext): Credentials {
  if (jwt.startsWith('---')) {
    throw new BridgeError(
      'reading the user JWT: it is a creds file, which nats.auth.credsFile takes',
      {
        code: 'NATS_JWT_MALFORMED',
      },
    )
  }
  const wrong = explainJwt(jwt, { ...context, bearerOnly: seed === undefined })
  if (wrong !== undefined) throw wrong
  if (seed === undefined) return { method: 'bearer', jwt, authenticator: jwtAuthenticator(jwt) }
  if (publicKeyOf(seed) !== decodeUserJwt(jwt).subject) {
    throw new BridgeError('checking the user JWT: the seed belongs to another user', {
      code: 'NATS_AUTH',
    })
  }
  return { method: 'jwt', jwt, authenticator: jwtAuthenticator(jwt, Buffer.from(seed)) }
}

function publicKeyOf(seed: string): string {
  let key: string
  try {
    key = fromSeed(Buffer.from(seed)).getPublicKey()
  } catch (error) {
    throw new BridgeError('reading the seed: it is not an nkey seed', {
      code: 'NATS_AUTH',
      cause: error,
    })
  }
  if (!key.startsWith('U')) {
    throw new BridgeError('reading the seed: it is not the seed of a user', { code: 'NATS_AUTH' })
  }
  return key
}
