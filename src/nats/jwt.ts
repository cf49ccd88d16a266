import { BridgeError, type ErrorCode } from '../core/errors.ts'

/** Longest JWT that is looked into, bytes; the same bound the NATS tools set. */
const MAX_JWT = 1024 * 1024

/** Kind of connection the bridge makes to the server, as a user JWT names it. */
const CONNECTION_TYPE = 'STANDARD'

const BASE64URL = /^[A-Za-z0-9_-]+$/
const PUBLIC_ACCOUNT = /^A[A-Z2-7]{55}$/
const PUBLIC_USER = /^U[A-Z2-7]{55}$/

/** What a user JWT says about itself. Times are seconds since the epoch, 0 = not set. */
export interface UserClaims {
  /** Public key `U…` of the user. */
  readonly subject: string
  readonly name: string
  /** Public key `A…` of the account the user belongs to. */
  readonly account: string
  readonly expiry: number
  readonly notBefore: number
  /** True when the JWT alone is enough to log in. */
  readonly bearer: boolean
  /** Kinds of connection allowed, upper case; empty = all. */
  readonly connectionTypes: readonly string[]
}

/** What the JWT is held against. */
export interface JwtExpectations {
  /** `nats.account`: compared when it is a public key; a name is not part of a user JWT and cannot be. */
  readonly account?: string
  /** Milliseconds since the epoch. */
  readonly now: number
  /** True when there is no seed to sign the nonce of the server with. */
  readonly bearerOnly: boolean
}

/** Reads a user JWT without checking its signature, which only the server can. Throws NATS_JWT_MALFORMED. */
export function decodeUserJwt(text: string): UserClaims {
  const claims = payloadOf(text)
  const nats = recordOf(claims['nats'])
  // version 1 keeps the type beside the registered claims
  const type = nats['type'] ?? claims['type']
  if (type !== 'user') {
    throw malformed(`it is of type '${typeof type === 'string' ? type : 'unknown'}', not 'user'`)
  }
  const subject = textOf(claims['sub'])
  if (!PUBLIC_USER.test(subject)) throw malformed('its subject is not the public key of a user')
  const types: unknown = nats['allowed_connection_types']
  return {
    subject,
    name: textOf(claims['name']),
    account: textOf(nats['issuer_account']) || textOf(claims['iss']),
    expiry: secondsOf(claims['exp']),
    notBefore: secondsOf(claims['nbf']),
    bearer: nats['bearer_token'] === true,
    connectionTypes: Array.isArray(types) ? types.map((one) => textOf(one).toUpperCase()) : [],
  }
}

/**
 * Says why a server will refuse this user JWT, as far as the JWT itself shows it; undefined when it looks
 * good. A server refuses every one of these with the same two words, so this is where the reason comes from.
 */
export function explainJwt(text: string, expected: JwtExpectations): BridgeError | undefined {
  let claims: UserClaims
  try {
    claims = decodeUserJwt(text)
  } catch (error) {
    if (error instanceof BridgeError) return error
    throw error
  }
  return explainTimes(claims, expected.now) ?? explainUse(claims, expected)
}

/** Seconds since the epoch at which the JWT ends; 0 when it never does or cannot be read. */
export function jwtExpiry(text: string): number {
  try {
    return decodeUserJwt(text).expiry
  } catch {
    return 0
  }
}

function explainTimes(claims: UserClaims, now: number): BridgeError | undefined {
  const { expiry, notBefore } = claims
  if (expiry > 0 && expiry * 1000 <= now) {
    return refused('NATS_JWT_EXPIRED', `it expired at ${timeText(expiry)}`)
  }
  if (notBefore > 0 && notBefore * 1000 > now) {
    return refused('NATS_JWT_NOT_YET_VALID', `it is valid from ${timeText(notBefore)} on`)
  }
  return undefined
}

function explainUse(claims: UserClaims, expected: JwtExpectations): BridgeError | undefined {
  const { account } = expected
  if (account !== undefined && PUBLIC_ACCOUNT.test(account) && claims.account !== account) {
    return refused(
      'NATS_JWT_ACCOUNT',
      `it belongs to account '${claims.account}', not '${account}'`,
    )
  }
  const types = claims.connectionTypes
  if (types.length > 0 && !types.includes(CONNECTION_TYPE)) {
    return refused('NATS_JWT_CONNECTION_TYPE', `it allows connections of type ${types.join(', ')}`)
  }
  if (expected.bearerOnly && !claims.bearer) {
    return refused('NATS_JWT_NEEDS_SEED', 'it is not a bearer token and there is no seed')
  }
  return undefined
}

function refused(code: ErrorCode, text: string): BridgeError {
  return new BridgeError(`checking the user JWT: ${text}`, { code })
}

function malformed(text: string, cause?: unknown): BridgeError {
  return new BridgeError(`reading the user JWT: ${text}`, { code: 'NATS_JWT_MALFORMED', cause })
}

function payloadOf(text: string): Record<string, unknown> {
  if (text.length > MAX_JWT) throw malformed(`it is longer than ${MAX_JWT} bytes`)
  const parts = text.split('.', 4)
  const [, payload] = parts
  if (parts.length !== 3 || payload === undefined || !parts.every((part) => BASE64URL.test(part))) {
    throw malformed('it is not three base64url parts with dots between')
  }
  try {
    const utf8 = new TextDecoder('utf-8', { fatal: true })
    const claims: unknown = JSON.parse(utf8.decode(Buffer.from(payload, 'base64url')))
    return recordOf(claims)
  } catch (error) {
    throw malformed('its claims are not JSON', error)
  }
}

function recordOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return {}
  return value as Record<string, unknown>
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function secondsOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0
}

/** ISO time, or the bare number when it lies beyond what a date can hold. */
function timeText(seconds: number): string {
  const date = new Date(seconds * 1000)
  return Number.isNaN(date.getTime()) ? `${seconds} s after 1970` : date.toISOString()
}
