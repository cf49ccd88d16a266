import fc from 'fast-check'
import { createAccount, createUser } from 'nkeys.js'
import { describe, expect, it } from 'vitest'
import { BridgeError } from '../../../src/core/errors.ts'
import { decodeUserJwt, explainJwt, jwtExpiry } from '../../../src/nats/jwt.ts'

const USER = createUser().getPublicKey()
const ACCOUNT = createAccount().getPublicKey()
const SIGNER = createAccount().getPublicKey()
const NOW = 1_800_000_000

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** An unsigned JWT: what is tested here never looks at the signature. */
function jwt(claims: object = {}, nats: object = {}): string {
  const body = { type: 'user', version: 2, bearer_token: true, ...nats }
  const all = { sub: USER, iss: ACCOUNT, name: 'n', ...claims, nats: body }
  return `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(all)}.c2ln`
}

const explain = (text: string, more: { account?: string; bearerOnly?: boolean } = {}) =>
  explainJwt(text, { now: NOW * 1000, bearerOnly: true, ...more })?.code

describe('a user JWT', () => {
  it('is read with its account, times and kinds of connection, also in UTF-8', () => {
    const text = jwt(
      { exp: 5, nbf: 3, iss: SIGNER, name: 'Prüfstand ✓' },
      { issuer_account: ACCOUNT, allowed_connection_types: ['standard', 'Mqtt'] },
    )
    expect(decodeUserJwt(text)).toEqual({
      subject: USER,
      name: 'Prüfstand ✓',
      account: ACCOUNT,
      expiry: 5,
      notBefore: 3,
      bearer: true,
      connectionTypes: ['STANDARD', 'MQTT'],
    })
    expect(jwtExpiry(text)).toBe(5)
    expect(jwtExpiry(jwt())).toBe(0)
    expect(jwtExpiry('nothing')).toBe(0)
  })

  it('is read in its first version too', () => {
    const claims = { sub: USER, iss: ACCOUNT, type: 'user', nats: { bearer_token: true } }
    expect(decodeUserJwt(`${part({})}.${part(claims)}.c2ln`).account).toBe(ACCOUNT)
  })

  it.each([
    ['nothing', ''],
    ['two parts', 'a.b'],
    ['four parts', 'a.b.c.d'],
    ['other characters', 'a.b+.c'],
    ['no JSON', `a.${Buffer.from('{').toString('base64url')}.c`],
    ['no UTF-8', `a.${Buffer.from([0x22, 0xff, 0x22]).toString('base64url')}.c`],
    ['null', `a.${part(null)}.c`],
    ['an account JWT', jwt({ sub: ACCOUNT }, { type: 'account' })],
    ['another subject', jwt({ sub: ACCOUNT })],
    ['too much', `a.${'b'.repeat(1024 * 1024)}.c`],
  ])('is malformed with %s', (_name, text) => {
    expect(explain(text)).toBe('NATS_JWT_MALFORMED')
  })

  it('never throws anything but that it is malformed', () => {
    const mixed = fc.oneof(
      fc.string(),
      fc.json().map((json) => `a.${Buffer.from(json).toString('base64url')}.b`),
      fc.record({ exp: fc.anything(), nbf: fc.anything(), iss: fc.anything() }).map((claims) => {
        try {
          return jwt(claims, { allowed_connection_types: claims.exp })
        } catch {
          return ''
        }
      }),
    )
    fc.assert(
      fc.property(mixed, (text) => {
        const error = explainJwt(text, { now: NOW * 1000, bearerOnly: false })
        expect(error === undefined || error instanceof BridgeError).toBe(true)
      }),
    )
  })

  it('is good up to the second before its end and from its beginning on', () => {
    expect(explain(jwt({ exp: NOW + 1, nbf: NOW }))).toBeUndefined()
    expect(explain(jwt({ exp: NOW }))).toBe('NATS_JWT_EXPIRED')
    expect(explain(jwt({ nbf: NOW + 1 }))).toBe('NATS_JWT_NOT_YET_VALID')
    expect(explain(jwt({ exp: 0, nbf: 0 }))).toBeUndefined()
    const error = explainJwt(jwt({ exp: 0.5e9 }), { now: NOW * 1000, bearerOnly: true })
    expect(error?.message).toBe('checking the user JWT: it expired at 1985-11-05T00:53:20.000Z')
    expect(explain(jwt({ nbf: 1e300 }))).toBe('NATS_JWT_NOT_YET_VALID')
  })

  it('is held against an account given by its key, not against a name', () => {
    expect(explain(jwt(), { account: ACCOUNT })).toBeUndefined()
    expect(explain(jwt(), { account: SIGNER })).toBe('NATS_JWT_ACCOUNT')
    const signed = jwt({ iss: SIGNER }, { issuer_account: ACCOUNT })
    expect(explain(signed, { account: ACCOUNT })).toBeUndefined()
    expect(explain(signed, { account: SIGNER })).toBe('NATS_JWT_ACCOUNT')
    expect(explain(jwt(), { account: 'IOT' })).toBeUndefined()
  })

  it('has to allow plain connections, whatever the case; none named means all', () => {
    const types = (...names: string[]) => explain(jwt({}, { allowed_connection_types: names }))
    expect(types()).toBeUndefined()
    expect(types('MQTT', 'standard')).toBeUndefined()
    expect(types('MQTT', 'WEBSOCKET')).toBe('NATS_JWT_CONNECTION_TYPE')
  })

  it('needs a seed unless it is a bearer token', () => {
    const plain = jwt({}, { bearer_token: false })
    expect(explain(plain)).toBe('NATS_JWT_NEEDS_SEED')
    expect(explain(plain, { bearerOnly: false })).toBeUndefined()
  })
})
