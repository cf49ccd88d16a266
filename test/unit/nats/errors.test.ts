import fc from 'fast-check'
import { NatsError } from 'nats'
import { describe, expect, it } from 'vitest'
import { BridgeError, type ErrorCode } from '../../../src/core/errors.ts'
import {
  attemptError,
  printable,
  requestError,
  type Stage,
  serverComplaint,
} from '../../../src/nats/errors.ts'

const complaint = (text: string) => serverComplaint(text, 'a:1')

describe('a complaint of the server', () => {
  it.each<[string, ErrorCode, boolean]>([
    ["'Authorization Violation'", 'NATS_AUTH', true],
    ["'User Authentication Expired'", 'NATS_JWT_EXPIRED', true],
    ["'User Authentication Revoked'", 'NATS_REVOKED', true],
    ["'Account Authentication Expired'", 'NATS_ACCOUNT_EXPIRED', true],
    ["'Authentication Timeout'", 'CONNECT_TIMEOUT', true],
    ["'Authentication Failure'", 'NATS_AUTH', true],
    ["'Stale Connection'", 'NATS_STALE', true],
    ["'Slow Consumer'", 'NATS_SLOW_CONSUMER', true],
    ["'Maximum Payload Violation'", 'NATS_MAX_PAYLOAD', true],
    ["'maximum connections exceeded'", 'CONNECT_FAILED', true],
    ["'maximum account active connections exceeded'", 'CONNECT_FAILED', true],
    ["'maximum control line exceeded'", 'PROTOCOL_ERROR', true],
    ["'maximum subscriptions exceeded'", 'NATS_PERMISSION', false],
    ["'Invalid Subject'", 'PROTOCOL_ERROR', false],
    ["'Invalid Publish Subject'", 'PROTOCOL_ERROR', false],
    ["'Secure Connection - TLS Required'", 'TLS_HANDSHAKE', true],
    ["'Server Shutdown'", 'LINK_LOST', true],
    ["'Attempted To Connect To Route Port'", 'CONNECT_FAILED', true],
    ["'Unknown Protocol Operation'", 'PROTOCOL_ERROR', true],
    ['without quotes', 'PROTOCOL_ERROR', true],
  ])('%s is %s and ends the connection: %s', (text, code, ends) => {
    const understood = complaint(text)
    expect(understood.error.code).toBe(code)
    expect(understood.ends).toBe(ends)
    expect(understood.subject).toBeUndefined()
  })

  it('names operation and subject of what is not permitted', () => {
    expect(complaint(`'Permissions Violation for Publish to "a.b"'`)).toMatchObject({
      error: { code: 'NATS_PERMISSION' },
      ends: false,
      operation: 'publish',
      subject: 'a.b',
    })
    expect(
      complaint(`'Permissions Violation for Subscription to "a.>" using queue "q"'`),
    ).toMatchObject({ operation: 'subscription', subject: 'a.>' })
  })

  it('is shown printable and cut, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        expect(complaint(text).error.message).toMatch(/^[\x20-\x7e…]*$/)
        expect(printable(text).length).toBeLessThanOrEqual(201)
      }),
    )
  })
})

const coded = (code: string, message = 'm') => Object.assign(new Error(message), { code })

describe('a failed attempt', () => {
  it.each<[unknown, Stage, ErrorCode]>([
    [new NatsError('t', 'TIMEOUT'), 'dialling', 'CONNECT_TIMEOUT'],
    [
      new NatsError('c', 'CONNECTION_REFUSED', coded('ECONNREFUSED')),
      'dialling',
      'CONNECT_REFUSED',
    ],
    [new NatsError('c', 'CONNECTION_REFUSED'), 'dialling', 'CONNECT_REFUSED'],
    [new NatsError('c', 'CONNECTION_REFUSED', new Error('undefined')), 'greeting', 'LINK_LOST'],
    [new NatsError('c', 'CONNECTION_REFUSED', new Error('undefined')), 'login', 'LINK_LOST'],
    [new NatsError('c', 'CONNECTION_REFUSED', new Error('x')), 'handshake', 'TLS_HANDSHAKE'],
    [new NatsError('tls', 'SERVER_OPT_NA'), 'greeting', 'TLS_HANDSHAKE'],
    [new NatsError('noEcho', 'SERVER_OPT_NA'), 'greeting', 'PROTOCOL_ERROR'],
    [new NatsError('a', 'AUTHORIZATION_VIOLATION'), 'login', 'NATS_AUTH'],
    [new NatsError('t', 'TLS', coded('ERR_OSSL_X')), 'handshake', 'TLS_FILE_UNREADABLE'],
    [new NatsError('t', 'TLS', new Error('x')), 'handshake', 'TLS_HANDSHAKE'],
    [coded('ENOTFOUND'), 'dialling', 'HOST_UNKNOWN'],
    [coded('SOMETHING'), 'dialling', 'CONNECT_FAILED'],
    [undefined, 'handshake', 'TLS_HANDSHAKE'],
    [undefined, 'dialling', 'CONNECT_FAILED'],
    [new BridgeError('x', { code: 'INTERNAL' }), 'login', 'INTERNAL'],
  ])('%s while %s is %s', (thrown, stage, code) => {
    expect(attemptError(thrown, 'a:1', stage).code).toBe(code)
  })

  it('names the server and what was waited for', () => {
    const error = attemptError(new NatsError('t', 'TIMEOUT'), 'a:1', 'greeting')
    expect(error.message).toBe("connecting to 'a:1': no greeting of the server in time")
  })
})

describe('a failed request', () => {
  it.each<[unknown, ErrorCode]>([
    [new NatsError('503', '503'), 'NATS_NO_JETSTREAM'],
    [new NatsError('t', 'TIMEOUT'), 'CONNECT_TIMEOUT'],
    [new NatsError('p', 'PERMISSIONS_VIOLATION'), 'NATS_PERMISSION'],
    [new NatsError('m', 'MAX_PAYLOAD_EXCEEDED'), 'NATS_MAX_PAYLOAD'],
    [new NatsError('c', 'CANCELLED'), 'LINK_LOST'],
    ['text', 'LINK_LOST'],
    [new BridgeError('x', { code: 'INTERNAL' }), 'INTERNAL'],
  ])('%s is %s', (thrown, code) => {
    expect(requestError(thrown, 's').code).toBe(code)
  })
})
