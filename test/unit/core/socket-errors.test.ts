import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ErrorCode } from '../../../src/core/errors.ts'
import { socketError } from '../../../src/core/socket-errors.ts'

const coded = (code: string, more: object = {}) => Object.assign(new Error('m'), { code }, more)
const codeOf = (error: unknown) => socketError(error, "dialling 'a'")?.code

describe('an error of a socket', () => {
  it.each<[string, ErrorCode]>([
    ['ECONNREFUSED', 'CONNECT_REFUSED'],
    ['ETIMEDOUT', 'CONNECT_TIMEOUT'],
    ['EHOSTUNREACH', 'CONNECT_FAILED'],
    ['ENOTFOUND', 'HOST_UNKNOWN'],
    ['ECONNRESET', 'LINK_LOST'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'TLS_NAME_MISMATCH'],
    ['CERT_HAS_EXPIRED', 'TLS_CERT_EXPIRED'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'TLS_UNTRUSTED'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'TLS_HANDSHAKE'],
    ['ERR_SSL_ANYTHING_ELSE', 'TLS_HANDSHAKE'],
    ['ERR_TLS_ANYTHING_ELSE', 'TLS_HANDSHAKE'],
    ['EPROTO', 'TLS_HANDSHAKE'],
    ['ERR_OSSL_PEM_NO_START_LINE', 'TLS_FILE_UNREADABLE'],
  ])('%s is %s', (code, meaning) => {
    expect(codeOf(coded(code))).toBe(meaning)
  })

  it('is told with the action, and keeps the cause', () => {
    const cause = coded('ECONNREFUSED')
    const error = socketError(cause, "dialling 'a'")
    expect(error?.message).toBe("dialling 'a': connection refused")
    expect(error?.cause).toBe(cause)
    const reason = coded('ERR_SSL_X', { reason: 'no luck' })
    expect(socketError(reason, 'x')?.message).toBe('x: the handshake failed (no luck)')
    const file = coded('ERR_OSSL_X', { reason: 'mismatch' })
    expect(socketError(file, 'x')?.message).toContain('(mismatch)')
  })

  it('is found among causes and in what each address tried ended in', () => {
    expect(codeOf(new Error('a', { cause: coded('ENOTFOUND') }))).toBe('HOST_UNKNOWN')
    expect(codeOf(new AggregateError([new Error('x'), coded('ETIMEDOUT')], 'both'))).toBe(
      'CONNECT_TIMEOUT',
    )
    const loop = new Error('a')
    loop.cause = loop
    expect(codeOf(loop)).toBeUndefined()
  })

  it('tells a hang-up in the handshake from a reset, and a file from a socket', () => {
    const hungUp = Object.assign(
      new Error('Client network socket disconnected before secure TLS connection was established'),
      { code: 'ECONNRESET' },
    )
    expect(codeOf(hungUp)).toBe('TLS_HANDSHAKE')
    expect(codeOf(coded('EACCES', { syscall: 'open', path: '/ca' }))).toBe('TLS_FILE_UNREADABLE')
    expect(codeOf(coded('EACCES', { syscall: 'connect' }))).toBeUndefined()
  })

  it('is undefined for everything else, and translating never throws', () => {
    expect(socketError(coded('constructor'), 'x')).toBeUndefined()
    fc.assert(
      fc.property(fc.anything(), (thing) => {
        expect(socketError(thing, 'x')).toBeUndefined()
      }),
    )
  })
})
