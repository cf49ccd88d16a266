import { BridgeError, type ErrorCode } from '../core/errors.ts'

/** How far a connection had come when it failed. */
export type Stage = 'dialling' | 'opened' | 'up'

/** Longest text of a broker that is repeated in a message. */
const MAX_REASON_TEXT = 200

/** MQTT 3.1.1, 3.2.2.3: Connect Return code. */
const RETURN_CODES: Readonly<Record<number, readonly [string, ErrorCode]>> = {
  1: ['unacceptable protocol version', 'MQTT_VERSION'],
  2: ['identifier rejected', 'MQTT_CLIENT_ID'],
  3: ['server unavailable', 'MQTT_REFUSED'],
  4: ['bad user name or password', 'MQTT_AUTH'],
  5: ['not authorized', 'MQTT_AUTH'],
}

/** MQTT 5.0, 2.4: the reason codes of failure, and what each means in CONNACK. */
const REASON_CODES: Readonly<Record<number, readonly [string, ErrorCode]>> = {
  128: ['unspecified error', 'MQTT_REFUSED'],
  129: ['malformed packet', 'PROTOCOL_ERROR'],
  130: ['protocol error', 'PROTOCOL_ERROR'],
  131: ['implementation specific error', 'MQTT_REFUSED'],
  132: ['unsupported protocol version', 'MQTT_VERSION'],
  133: ['client identifier not valid', 'MQTT_CLIENT_ID'],
  134: ['bad user name or password', 'MQTT_AUTH'],
  135: ['not authorized', 'MQTT_AUTH'],
  136: ['server unavailable', 'MQTT_REFUSED'],
  137: ['server busy', 'MQTT_REFUSED'],
  138: ['banned', 'MQTT_AUTH'],
  139: ['server shutting down', 'LINK_LOST'],
  140: ['bad authentication method', 'MQTT_AUTH'],
  141: ['keep alive timeout', 'LINK_HALF_OPEN'],
  142: ['session taken over', 'MQTT_TAKEN_OVER'],
  143: ['topic filter invalid', 'MQTT_REFUSED'],
  144: ['topic name invalid', 'MQTT_REFUSED'],
  145: ['packet identifier in use', 'PROTOCOL_ERROR'],
  146: ['packet identifier not found', 'PROTOCOL_ERROR'],
  147: ['receive maximum exceeded', 'PROTOCOL_ERROR'],
  148: ['topic alias invalid', 'PROTOCOL_ERROR'],
  149: ['packet too large', 'MQTT_REFUSED'],
  150: ['message rate too high', 'MQTT_REFUSED'],
  151: ['quota exceeded', 'MQTT_REFUSED'],
  152: ['administrative action', 'MQTT_REFUSED'],
  153: ['payload format invalid', 'MQTT_REFUSED'],
  154: ['retain not supported', 'MQTT_REFUSED'],
  155: ['QoS not supported', 'MQTT_REFUSED'],
  156: ['use another server', 'MQTT_REFUSED'],
  157: ['server moved', 'MQTT_REFUSED'],
  158: ['shared subscriptions not supported', 'MQTT_REFUSED'],
  159: ['connection rate exceeded', 'MQTT_REFUSED'],
  160: ['maximum connect time', 'LINK_LOST'],
  161: ['subscription identifiers not supported', 'MQTT_REFUSED'],
  162: ['wildcard subscriptions not supported', 'MQTT_REFUSED'],
}

const NODE_CODES: Readonly<Record<string, readonly [string, ErrorCode]>> = {
  ECONNREFUSED: ['connection refused', 'CONNECT_REFUSED'],
  ENOTFOUND: ['the host name does not resolve', 'HOST_UNKNOWN'],
  EAI_AGAIN: ['the name server does not answer', 'HOST_UNKNOWN'],
  EAI_FAIL: ['the name server failed', 'HOST_UNKNOWN'],
  EAI_NODATA: ['the host name has no address', 'HOST_UNKNOWN'],
  EAI_NONAME: ['the host name does not resolve', 'HOST_UNKNOWN'],
  ETIMEDOUT: ['no answer from the address', 'CONNECT_TIMEOUT'],
  EHOSTUNREACH: ['no route to the host', 'CONNECT_FAILED'],
  ENETUNREACH: ['no route to the network', 'CONNECT_FAILED'],
  ECONNRESET: ['the connection was reset', 'CONNECT_FAILED'],
  EPIPE: ['the connection was closed while writing', 'CONNECT_FAILED'],
  CERT_HAS_EXPIRED: ['the server certificate has expired', 'TLS_CERT_EXPIRED'],
  CERT_NOT_YET_VALID: ['the server certificate is not valid yet', 'TLS_CERT_EXPIRED'],
}

/** OpenSSL's names for a chain that does not lead to the configured CA. */
const UNTRUSTED =
  /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_(UNTRUSTED|SIGNATURE|REJECTED|REVOKED|CHAIN)|INVALID_(CA|PURPOSE)|PATH_LENGTH|CA_MD|EE_)/
const TLS_BROKEN = /^(ERR_SSL_|ERR_TLS_|EPROTO$)/
const WS_BROKEN = /^(WS_ERR_|ERR_WS_)/

/** What a CONNACK with a code other than 0 means; `code` is a return code (3.1.1) or reason code (5). */
export function connackError(
  server: string,
  code: number | undefined,
  said?: unknown,
): BridgeError {
  const known = code === undefined ? undefined : (RETURN_CODES[code] ?? REASON_CODES[code])
  const [reason, errorCode] = known ?? [`unknown code ${code}`, 'PROTOCOL_ERROR' as const]
  return new BridgeError(`connecting to '${server}': ${reason}${saidText(said)}`, {
    code: errorCode,
  })
}

/** What a DISCONNECT of the broker means. */
export function disconnectError(server: string, code: number, said?: unknown): BridgeError {
  const [reason, known] = REASON_CODES[code] ?? ['the broker closed the connection', 'LINK_LOST']
  // What refuses a CONNECT only ends a connection that was accepted before.
  const errorCode = known === 'MQTT_REFUSED' ? 'LINK_LOST' : known
  return new BridgeError(`talking to '${server}': ${reason}${saidText(said)}`, { code: errorCode })
}

/** A broken rule of MQTT by the broker. */
export function protocolError(server: string, what: string, cause?: unknown): BridgeError {
  return new BridgeError(`reading from '${server}': ${what}`, { code: 'PROTOCOL_ERROR', cause })
}

/** CONNACK did not come in time. */
export function timeoutError(server: string, milliseconds: number, stage: Stage): BridgeError {
  const what = stage === 'dialling' ? 'not reached' : 'no CONNACK'
  return new BridgeError(`connecting to '${server}': ${what} within ${milliseconds} ms`, {
    code: 'CONNECT_TIMEOUT',
  })
}

/** The connection ended under us: an error of Node, of TLS or of the WebSocket, or none for a plain close. */
export function channelError(server: string, stage: Stage, cause: Error | undefined): BridgeError {
  if (cause instanceof BridgeError) return cause
  const [text, code] = channelReason(stage, cause)
  const action = stage === 'up' ? 'talking to' : 'connecting to'
  return new BridgeError(`${action} '${server}': ${text}`, { code, cause })
}

/** An error the client library reports while it runs: its keepalive, or bytes it cannot read. */
export function libraryError(server: string, stage: Stage, cause: Error): BridgeError {
  if (cause instanceof BridgeError) return cause
  if (cause.message === 'Keepalive timeout') {
    return new BridgeError(`talking to '${server}': no answer to a ping`, {
      code: 'LINK_HALF_OPEN',
      cause,
    })
  }
  if (typeof codeOf(cause) === 'string') return channelError(server, stage, cause)
  return protocolError(server, lowerFirst(cleanText(cause.message)), cause)
}

/** One filter the broker did not take. */
export interface Refusal {
  readonly filter: string
  /** Of SUBACK: 0x80 and up. */
  readonly code: number
}

/** The filters of a SUBSCRIBE that were refused, with the reasons. */
export function subscribeError(server: string, refusals: readonly Refusal[]): BridgeError {
  const list = refusals.map(({ filter, code }) => `'${filter}' (${reasonText(code)})`).join(', ')
  return new BridgeError(`subscribing at '${server}': refused ${list}`, {
    code: 'MQTT_SUBSCRIBE_REFUSED',
  })
}

/** Whether a CONNACK code says that the broker does not speak the version. */
export function refusesVersion(code: number): boolean {
  return (RETURN_CODES[code] ?? REASON_CODES[code])?.[1] === 'MQTT_VERSION'
}

function channelReason(stage: Stage, cause: Error | undefined): readonly [string, ErrorCode] {
  if (cause === undefined) return closedReason(stage)
  const code = codeOf(cause)
  if (typeof code !== 'string') return otherReason(stage, cause)
  if (code === 'ECONNRESET' && cause.message.includes('before secure TLS connection')) {
    return ['the peer closed during the TLS handshake', 'TLS_HANDSHAKE']
  }
  const known = NODE_CODES[code]
  if (known !== undefined) {
    const isTls = known[1] === 'TLS_CERT_EXPIRED'
    return stage === 'up' && !isTls ? [known[0], 'LINK_LOST'] : known
  }
  return tlsReason(code, cause) ?? otherReason(stage, cause)
}

function tlsReason(code: string, cause: Error): readonly [string, ErrorCode] | undefined {
  const text = lowerFirst(cleanText(cause.message))
  if (code.startsWith('ERR_TLS_CERT_ALTNAME')) return [text, 'TLS_NAME_MISMATCH']
  if (UNTRUSTED.test(code)) return [text, 'TLS_UNTRUSTED']
  if (TLS_BROKEN.test(code)) return [text, 'TLS_HANDSHAKE']
  if (WS_BROKEN.test(code)) return [text, 'PROTOCOL_ERROR']
  return undefined
}

function otherReason(stage: Stage, cause: Error): readonly [string, ErrorCode] {
  return [lowerFirst(cleanText(cause.message)), stage === 'up' ? 'LINK_LOST' : 'CONNECT_FAILED']
}

function closedReason(stage: Stage): readonly [string, ErrorCode] {
  if (stage === 'up') return ['the broker closed the connection', 'LINK_LOST']
  if (stage === 'opened') return ['closed without an answer to CONNECT', 'CONNECT_FAILED']
  return ['closed before it was open', 'CONNECT_FAILED']
}

function reasonText(code: number): string {
  return REASON_CODES[code]?.[0] ?? `code ${code}`
}

function saidText(said: unknown): string {
  return typeof said === 'string' && said !== '' ? ` (${cleanText(said)})` : ''
}

function codeOf(error: Error): unknown {
  return 'code' in error ? error.code : undefined
}

/** Text of others, made fit for one log line. */
function cleanText(text: string): string {
  const line = text.replace(/\p{Cc}+/gu, ' ').trim()
  return line.length > MAX_REASON_TEXT ? `${line.slice(0, MAX_REASON_TEXT)}…` : line
}

function lowerFirst(text: string): string {
  return /^\p{Lu}\p{Ll}/u.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text
}
