import { BridgeError, type ErrorCode } from '../core/errors.ts'
import { socketError } from '../core/socket-errors.ts'

/** How far a connection attempt has come. */
export type Stage = 'dialling' | 'handshake' | 'greeting' | 'login'

/** One `-ERR` of the server, understood. */
export interface ServerComplaint {
  readonly error: BridgeError
  /** True when the server closes the connection after it. */
  readonly ends: boolean
  readonly operation?: 'publish' | 'subscription'
  /** The subject or wildcard it is about. */
  readonly subject?: string
}

interface Saying {
  readonly says: RegExp
  readonly code: ErrorCode
  /** The connection stays up. */
  readonly harmless?: boolean
  /** Added to what the server says, where that alone does not help. */
  readonly note?: string
}

/** The texts nats-server sends with `-ERR`; the first that fits counts. */
const SAYINGS: readonly Saying[] = [
  { says: /permissions violation/i, code: 'NATS_PERMISSION', harmless: true },
  { says: /user authentication expired/i, code: 'NATS_JWT_EXPIRED' },
  { says: /user authentication revoked|credentials revoked/i, code: 'NATS_REVOKED' },
  { says: /account authentication expired/i, code: 'NATS_ACCOUNT_EXPIRED' },
  { says: /authentication timeout|authorization timeout/i, code: 'CONNECT_TIMEOUT' },
  { says: /authorization violation|authentication/i, code: 'NATS_AUTH' },
  { says: /stale connection/i, code: 'NATS_STALE' },
  { says: /slow consumer/i, code: 'NATS_SLOW_CONSUMER' },
  { says: /maximum payload/i, code: 'NATS_MAX_PAYLOAD' },
  { says: /maximum subscriptions/i, code: 'NATS_PERMISSION', harmless: true },
  { says: /maximum (account )?(active )?connections|throttling/i, code: 'CONNECT_FAILED' },
  {
    says: /maximum control line/i,
    code: 'PROTOCOL_ERROR',
    note: 'a long user JWT needs a larger max_control_line on the server',
  },
  { says: /invalid( publish)? subject/i, code: 'PROTOCOL_ERROR', harmless: true },
  { says: /tls required/i, code: 'TLS_HANDSHAKE' },
  { says: /server shutdown/i, code: 'LINK_LOST' },
  { says: /route port|gateway port|leafnode port/i, code: 'CONNECT_FAILED' },
]

/** Longest text of a server that is repeated in a message. */
const MAX_TEXT = 200

const SUBJECT = /(publish|subscription)(?: to)? "([^"\s]+)"/i

/**
 * Understands an `-ERR` line.
 *
 * @param text what follows `-ERR`, with or without its quotes
 * @param server `host:port` it came from
 */
export function serverComplaint(text: string, server: string): ServerComplaint {
  const plain = printable(text.trim().replace(/^'(.*)'$/, '$1'))
  const saying = SAYINGS.find(({ says }) => says.test(plain))
  const note = saying?.note === undefined ? '' : ` (${saying.note})`
  const error = new BridgeError(`server '${server}' says: ${plain}${note}`, {
    code: saying?.code ?? 'PROTOCOL_ERROR',
  })
  const ends = saying?.harmless !== true
  const found = SUBJECT.exec(plain)
  const subject = found?.[2]
  if (subject === undefined) return { error, ends }
  const operation = found?.[1]?.toLowerCase() === 'publish' ? 'publish' : 'subscription'
  return { error, ends, operation, subject }
}

/** Text of a peer, fit for a log: printable ASCII, cut. */
export function printable(text: string): string {
  const cut = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
  return cut.replace(/[^\x20-\x7e…]/g, '.')
}

/** Names of the library for its failures that are not the server's words. */
const LIBRARY: ReadonlyMap<string, readonly [ErrorCode, string]> = new Map(
  Object.entries<readonly [ErrorCode, string]>({
    CONNECTION_REFUSED: ['CONNECT_REFUSED', 'connection refused'],
    AUTHORIZATION_VIOLATION: ['NATS_AUTH', 'the server refused the credentials'],
    AUTHENTICATION_EXPIRED: ['NATS_JWT_EXPIRED', 'the user JWT has expired'],
    ACCOUNT_EXPIRED: ['NATS_ACCOUNT_EXPIRED', 'the account has expired'],
    AUTHENTICATION_TIMEOUT: ['CONNECT_TIMEOUT', 'the login took too long'],
    PERMISSIONS_VIOLATION: ['NATS_PERMISSION', 'not permitted'],
    MAX_PAYLOAD_EXCEEDED: ['NATS_MAX_PAYLOAD', 'larger than max_payload'],
    NATS_PROTOCOL_ERR: ['PROTOCOL_ERROR', 'the server broke off'],
    CONNECTION_CLOSED: ['LINK_LOST', 'the connection is closed'],
    CONNECTION_DRAINING: ['LINK_LOST', 'the connection is closing'],
    DISCONNECT: ['LINK_LOST', 'the connection was lost'],
    TLS: ['TLS_HANDSHAKE', 'the TLS handshake failed'],
    CANCELLED: ['LINK_LOST', 'the connection was lost'],
  }),
)

/** What did not come in time. */
const AWAITED: Readonly<Record<Stage, string>> = {
  dialling: 'no connection',
  handshake: 'no end of the TLS handshake',
  greeting: 'no greeting of the server',
  login: 'no answer to the login',
}

/** What a connection that ends without a word was doing. */
const HUNG_UP: Readonly<Record<Stage, readonly [ErrorCode, string]>> = {
  dialling: ['CONNECT_FAILED', 'the connection could not be made'],
  handshake: ['TLS_HANDSHAKE', 'the server hung up during the TLS handshake'],
  greeting: ['LINK_LOST', 'the server hung up without a greeting'],
  login: ['LINK_LOST', 'the server hung up during the login'],
}

/**
 * Translates what a failed connection attempt threw.
 *
 * @param server `host:port` dialled
 * @param stage how far it had come
 */
export function attemptError(thrown: unknown, server: string, stage: Stage): BridgeError {
  if (thrown instanceof BridgeError) return thrown
  const action = `connecting to '${server}'`
  const { code, message, chained } = natsError(thrown)
  if (code === 'TIMEOUT') {
    return new BridgeError(`${action}: ${AWAITED[stage]} in time`, {
      code: 'CONNECT_TIMEOUT',
      cause: thrown,
    })
  }
  const known = socketError(chained ?? thrown, action) ?? socketError(thrown, action)
  if (known !== undefined) return known
  if (code === 'SERVER_OPT_NA') return optionError(action, message, thrown)
  const named = nameOf(code, stage, chained)
  if (named !== undefined) {
    return new BridgeError(`${action}: ${named[1]}`, { code: named[0], cause: thrown })
  }
  return new BridgeError(`${action}: ${printable(message)}`, {
    code: 'CONNECT_FAILED',
    cause: thrown,
  })
}

/** The library calls everything it knows no reason for a refused connection. */
function nameOf(
  code: string,
  stage: Stage,
  chained: unknown,
): readonly [ErrorCode, string] | undefined {
  if (code === '' || (code === 'CONNECTION_REFUSED' && chained !== undefined)) return HUNG_UP[stage]
  return LIBRARY.get(code)
}

function optionError(action: string, option: string, cause: unknown): BridgeError {
  if (option === 'tls') {
    return new BridgeError(`${action}: the server offers no TLS, the configuration asks for it`, {
      code: 'TLS_HANDSHAKE',
      cause,
    })
  }
  const text = `${action}: the server is too old for '${printable(option)}'`
  return new BridgeError(text, { code: 'PROTOCOL_ERROR', cause })
}

/** Translates what a request threw; 503 means that nobody answers there, for JetStream that it is off. */
export function requestError(thrown: unknown, subject: string): BridgeError {
  if (thrown instanceof BridgeError) return thrown
  const action = `requesting '${subject}'`
  const { code, message } = natsError(thrown)
  if (code === '503') {
    const text = `${action}: nobody answers`
    return new BridgeError(text, { code: 'NATS_NO_JETSTREAM', cause: thrown })
  }
  if (code === 'TIMEOUT') {
    const text = `${action}: no answer in time`
    return new BridgeError(text, { code: 'CONNECT_TIMEOUT', cause: thrown })
  }
  const known = LIBRARY.get(code)
  return new BridgeError(`${action}: ${known?.[1] ?? printable(message)}`, {
    code: known?.[0] ?? 'LINK_LOST',
    cause: thrown,
  })
}

function natsError(thrown: unknown): { code: string; message: string; chained: unknown } {
  if (typeof thrown !== 'object' || thrown === null) {
    return { code: '', message: String(thrown), chained: undefined }
  }
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : ''
  const message = 'message' in thrown ? String(thrown.message) : ''
  const chained: unknown = 'chainedError' in thrown ? thrown.chainedError : undefined
  return { code, message, chained }
}
