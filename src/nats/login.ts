import { createHash } from 'node:crypto'
import type { NatsConfig } from '../core/config.ts'
import { BridgeError, toBridgeError } from '../core/errors.ts'
import { type AuthMaterial, type Credentials, makeCredentials, readAuth } from './auth.ts'
import { readTls, type TlsMaterial } from './options.ts'

/** Secrets and TLS files as they are now: either ready to log in with, or of no use and why. */
export interface Login {
  readonly credentials: Credentials
  readonly tls: TlsMaterial | undefined
  /** Why there is no point in dialling. */
  readonly error: BridgeError | undefined
  /** Differs when another attempt may end otherwise: a file or the verdict on it has changed. */
  readonly fingerprint: string
}

const NOBODY: Credentials = { method: 'none' }

/**
 * Reads everything an attempt needs, anew each time, so that rotated files count at once.
 *
 * @param now milliseconds since the epoch
 */
export function readLogin(config: NatsConfig, now: number): Login {
  const account = config.account === undefined ? {} : { account: config.account }
  let auth: AuthMaterial | undefined
  let tls: TlsMaterial | undefined
  try {
    auth = readAuth(config.auth)
    tls = config.tls && readTls(config.tls)
    const credentials = makeCredentials(auth, { ...account, now })
    return { credentials, tls, error: undefined, fingerprint: fingerprint(auth, tls, undefined) }
  } catch (thrown) {
    const error = toBridgeError(thrown)
    return { credentials: NOBODY, tls, error, fingerprint: fingerprint(auth, tls, error) }
  }
}

function fingerprint(
  auth: AuthMaterial | undefined,
  tls: TlsMaterial | undefined,
  error: BridgeError | undefined,
): string {
  const parts = [auth?.fingerprint, tls?.fingerprint, error?.code, error?.message]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}

/**
 * Says more about refused credentials than the server does, from what is known of the user JWT shown to it.
 *
 * @param worked true when the same JWT had been accepted before
 */
export function explainRefusal(
  error: BridgeError,
  credentials: Credentials,
  worked: boolean,
): BridgeError {
  if (error.code !== 'NATS_AUTH' || credentials.jwt === undefined) return error
  if (worked) {
    return new BridgeError(
      `${error.message}: the user JWT was accepted before and is valid in itself, so it is revoked, or its account is no longer known to the server`,
      { code: 'NATS_REVOKED', cause: error },
    )
  }
  return new BridgeError(
    `${error.message}: the user JWT is valid in itself, so it is revoked, or its account or signer is unknown to the server, or the account forbids it`,
    { code: 'NATS_AUTH', cause: error },
  )
}
