import { createAccount, createUser } from 'nkeys.js'
import { describe, expect, it } from 'vitest'
import type { NatsAuthConfig, Secret } from '../../../src/core/config.ts'
import { BridgeError } from '../../../src/core/errors.ts'
import { makeCredentials, readAuth, userJwtExpiry } from '../../../src/nats/auth.ts'
import { makeOperator } from '../../support/operator.ts'

const secret = (value: string): Secret => ({ origin: 'inline', read: () => value })

const login = (auth: NatsAuthConfig) => makeCredentials(readAuth(auth), { now: Date.now() })

function codeOf(auth: NatsAuthConfig): string {
  try {
    login(auth)
    return 'none'
  } catch (error) {
    return error instanceof BridgeError ? error.code : 'another error'
  }
}

const operator = await makeOperator()
const signed = await operator.userJwt({ account: 'IOT' })
const bearer = await operator.userJwt({ account: 'IOT', bearer: true })

describe('the login', () => {
  it('is nothing when nothing is configured', () => {
    expect(login({})).toEqual({ method: 'none' })
  })

  it('is a user name with a password, or a token', () => {
    const named = login({ username: 'a', password: secret('b') })
    expect(named.method).toBe('password')
    expect(named.authenticator?.('nonce')).toEqual({ user: 'a', pass: 'b' })
    expect(login({ username: 'a' }).authenticator?.()).toEqual({ user: 'a', pass: '' })
    const token = login({ token: secret('t') })
    expect(token.method).toBe('token')
    expect(token.authenticator?.()).toEqual({ auth_token: 't' })
  })

  it('shows a bearer JWT without a signature', () => {
    const { method, jwt, authenticator } = login({ jwt: secret(` ${bearer.jwt}\n`) })
    expect({ method, jwt }).toEqual({ method: 'bearer', jwt: bearer.jwt })
    expect(authenticator?.('nonce')).toEqual({ jwt: bearer.jwt, nkey: '', sig: '' })
  })

  it('knows when its JWT ends, bare or in a creds file, and nothing of other secrets', async () => {
    const ending = await operator.userJwt({ account: 'IOT', expiresIn: 600 })
    const from = Math.floor(Date.now() / 1000)
    const expiry = userJwtExpiry({ jwt: secret(ending.jwt) }) ?? 0
    expect(expiry).toBeGreaterThan(from + 500)
    expect(userJwtExpiry({ creds: secret(ending.creds) })).toBe(expiry)
    expect(userJwtExpiry({ jwt: secret(bearer.jwt) })).toBe(0)
    expect(userJwtExpiry({ username: 'a', password: secret('b') })).toBeUndefined()
    expect(userJwtExpiry({ creds: secret('no creds file') })).toBeUndefined()
  })

  it('signs the nonce with the seed of a JWT, of a creds file, or alone', () => {
    const ways: [string, NatsAuthConfig][] = [
      ['jwt', { jwt: secret(signed.jwt), seed: secret(signed.seed) }],
      ['creds', { creds: secret(signed.creds) }],
      ['creds', { creds: secret(signed.creds.replaceAll('\n', '\r\n')) }],
      ['nkey', { seed: secret(signed.seed) }],
    ]
    for (const [method, auth] of ways) {
      const made = login(auth)
      expect(made.method).toBe(method)
      const shown = made.authenticator?.('nonce')
      expect(shown).toMatchObject({
        nkey: signed.publicKey,
        sig: expect.stringMatching(/^[\w/+]{86}==$/),
      })
      expect(made.jwt).toBe(method === 'nkey' ? undefined : signed.jwt)
    }
  })

  it('says what is wrong with a JWT, a seed or a creds file', () => {
    expect(codeOf({ jwt: secret('x') })).toBe('NATS_JWT_MALFORMED')
    expect(codeOf({ jwt: secret(signed.creds) })).toBe('NATS_JWT_MALFORMED')
    expect(codeOf({ jwt: secret(signed.jwt) })).toBe('NATS_JWT_NEEDS_SEED')
    expect(codeOf({ creds: secret(signed.jwt) })).toBe('NATS_JWT_MALFORMED')
    expect(codeOf({ creds: secret('') })).toBe('NATS_JWT_MALFORMED')
    expect(codeOf({ seed: secret('SUA') })).toBe('NATS_AUTH')
    const account = Buffer.from(createAccount().getSeed()).toString()
    expect(codeOf({ seed: secret(account) })).toBe('NATS_AUTH')
    const other = Buffer.from(createUser().getSeed()).toString()
    expect(codeOf({ jwt: secret(signed.jwt), seed: secret(other) })).toBe('NATS_AUTH')
  })

  it('passes on that a secret cannot be read', () => {
    const gone: Secret = {
      origin: 'file x',
      read() {
        throw new BridgeError('reading', { code: 'SECRET_UNREADABLE' })
      },
    }
    expect(codeOf({ token: gone })).toBe('SECRET_UNREADABLE')
  })

  it('changes its fingerprint with every secret and tells none of them', () => {
    const prints = [
      readAuth({}),
      readAuth({ token: secret('a') }),
      readAuth({ token: secret('b') }),
      readAuth({ password: secret('a') }),
      readAuth({ jwt: secret('a'), seed: secret('b') }),
      readAuth({ jwt: secret('ab') }),
    ].map(({ fingerprint }) => fingerprint)
    expect(new Set(prints).size).toBe(prints.length)
    expect(readAuth({ token: secret('a\n') }).fingerprint).toBe(prints[1])
  })
})
