import { BridgeError, type ErrorCode } from './errors.ts'

interface Meaning {
  readonly code: ErrorCode
  /** Plain words put in place of the text of Node. */
  readonly text: string
}

/** Codes of the operating system and the resolver. */
const SYSTEM: Readonly<Record<string, Meaning>> = {
  ECONNREFUSED: { code: 'CONNECT_REFUSED', text: 'connection refused' },
  ETIMEDOUT: { code: 'CONNECT_TIMEOUT', text: 'no answer in time' },
  EHOSTUNREACH: { code: 'CONNECT_FAILED', text: 'no route to the host' },
  ENETUNREACH: { code: 'CONNECT_FAILED', text: 'network unreachable' },
  EHOSTDOWN: { code: 'CONNECT_FAILED', text: 'host is down' },
  ENETDOWN: { code: 'CONNECT_FAILED', text: 'network is down' },
  EADDRNOTAVAIL: { code: 'CONNECT_FAILED', text: 'no local address or port left' },
  EMFILE: { code: 'CONNECT_FAILED', text: 'too many open files' },
  ENOTFOUND: { code: 'HOST_UNKNOWN', text: 'host name does not resolve' },
  EAI_AGAIN: { code: 'HOST_UNKNOWN', text: 'the name server does not answer' },
  EAI_FAIL: { code: 'HOST_UNKNOWN', text: 'the name server failed' },
  EAI_NODATA: { code: 'HOST_UNKNOWN', text: 'host name has no address' },
  ENODATA: { code: 'HOST_UNKNOWN', text: 'host name has no address' },
  ECONNRESET: { code: 'LINK_LOST', text: 'connection reset by the peer' },
  ECONNABORTED: { code: 'LINK_LOST', text: 'connection aborted' },
  EPIPE: { code: 'LINK_LOST', text: 'connection closed by the peer' },
  ENOTCONN: { code: 'LINK_LOST', text: 'connection closed by the peer' },
  ERR_STREAM_DESTROYED: { code: 'LINK_LOST', text: 'connection closed' },
  ERR_STREAM_PREMATURE_CLOSE: { code: 'LINK_LOST', text: 'connection closed early' },
}

const untrusted = (text: string): Meaning => ({ code: 'TLS_UNTRUSTED', text })
const handshake = (text: string): Meaning => ({ code: 'TLS_HANDSHAKE', text })

/** Codes of certificate checks and of OpenSSL that deserve words of their own. */
const TLS: Readonly<Record<string, Meaning>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: {
    code: 'TLS_NAME_MISMATCH',
    text: 'the server certificate does not carry the name dialled',
  },
  CERT_HAS_EXPIRED: { code: 'TLS_CERT_EXPIRED', text: 'the server certificate has expired' },
  CERT_NOT_YET_VALID: {
    code: 'TLS_CERT_EXPIRED',
    text: 'the server certificate is not yet valid (or the clock here is behind)',
  },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted('no configured CA issued the server certificate'),
  UNABLE_TO_GET_ISSUER_CERT: untrusted('the issuer of the server certificate is not known'),
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted('the issuer of the server certificate is not known'),
  SELF_SIGNED_CERT_IN_CHAIN: untrusted('the CA of the server certificate is not a configured one'),
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted('the server certificate is self-signed'),
  CERT_UNTRUSTED: untrusted('the CA of the server certificate is not trusted'),
  CERT_REJECTED: untrusted('the CA of the server certificate is not meant for servers'),
  CERT_SIGNATURE_FAILURE: untrusted('the signature of the server certificate is wrong'),
  CERT_REVOKED: untrusted('the server certificate is revoked'),
  INVALID_CA: untrusted('the issuer of the server certificate is not a CA'),
  INVALID_PURPOSE: untrusted('the server certificate is not meant for servers'),
  CERT_CHAIN_TOO_LONG: untrusted('the chain of the server certificate is too long'),
  PATH_LENGTH_EXCEEDED: untrusted('the chain of the server certificate is too long'),
  ERR_SSL_WRONG_VERSION_NUMBER: handshake('the peer does not answer with TLS'),
  ERR_SSL_PACKET_LENGTH_TOO_LONG: handshake('the peer does not answer with TLS'),
  ERR_SSL_HTTP_REQUEST: handshake('the peer does not answer with TLS'),
  ERR_SSL_UNSUPPORTED_PROTOCOL: handshake('no TLS version in common'),
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: handshake('no TLS version in common'),
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: handshake('the peer refused the handshake'),
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: handshake('the peer refused the client certificate'),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: handshake('the client certificate has expired'),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: handshake('the peer refused the client certificate'),
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: handshake(
    'the peer does not know the CA of the client certificate',
  ),
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: handshake('the peer wants a client certificate'),
  ERR_SSL_TLSV1_ALERT_DECODE_ERROR: handshake('the peer could not read the handshake'),
}

/** All of them; a map, since a code may be any text. */
const MEANINGS: ReadonlyMap<string, Meaning> = new Map(Object.entries({ ...SYSTEM, ...TLS }))

/** What Node says, with code ECONNRESET, when the peer hangs up before TLS is agreed. */
const HUNG_UP = 'before secure TLS connection'

/** Errors may hold errors (`cause`, or one for each address tried); deeper than this nothing new is said. */
const DEPTH = 5

/**
 * Translates what Node's sockets, resolver and TLS throw.
 *
 * @param error what was thrown or emitted; its causes are looked at too
 * @param action what was being done, in gerund and with the object quoted: `connecting to 'a:1'`
 * @returns undefined when it is nothing of the kind
 */
export function socketError(error: unknown, action: string): BridgeError | undefined {
  const meaning = find(error, DEPTH)
  if (meaning === undefined) return undefined
  return new BridgeError(`${action}: ${meaning.text}`, { code: meaning.code, cause: error })
}

function find(error: unknown, depth: number): Meaning | undefined {
  if (typeof error !== 'object' || error === null || depth === 0) return undefined
  const own = meaningOf(error)
  if (own !== undefined) return own
  const inner: unknown[] = []
  if ('cause' in error) inner.push(error.cause)
  if ('errors' in error && Array.isArray(error.errors)) inner.push(...error.errors.slice(0, DEPTH))
  for (const one of inner) {
    const meaning = find(one, depth - 1)
    if (meaning !== undefined) return meaning
  }
  return undefined
}

function meaningOf(error: object): Meaning | undefined {
  const code = textOf(error, 'code')
  if (code === '') return undefined
  const path = textOf(error, 'path')
  if (path !== '' && ['open', 'read', 'stat'].includes(textOf(error, 'syscall'))) {
    return { code: 'TLS_FILE_UNREADABLE', text: `'${path}' cannot be read (${code})` }
  }
  if (code === 'ECONNRESET' && textOf(error, 'message').includes(HUNG_UP)) {
    return handshake('the peer hung up during the handshake')
  }
  return MEANINGS.get(code) ?? familyOf(code, textOf(error, 'reason'))
}

/** The codes of OpenSSL are too many to list: the rest is told by its prefix and OpenSSL's own words. */
function familyOf(code: string, reason: string): Meaning | undefined {
  if (code.startsWith('ERR_OSSL_')) {
    return {
      code: 'TLS_FILE_UNREADABLE',
      text: `the certificate or key file makes no sense (${reason || code})`,
    }
  }
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') || code === 'EPROTO') {
    return handshake(`the handshake failed (${reason || code})`)
  }
  return undefined
}

function textOf(error: object, key: string): string {
  const value: unknown = Reflect.get(error, key)
  return typeof value === 'string' ? value : ''
}
