import { describe, expect, test } from 'vitest'
import { BridgeError } from '../../../src/core/errors.ts'
import {
  channelError,
  connackError,
  disconnectError,
  libraryError,
  refusesVersion,
  type Stage,
  subscribeError,
  timeoutError,
} from '../../../src/mqtt/errors.ts'

const SERVER = 'broker:1883'
const coded = (code: string, message = code) => Object.assign(new Error(message), { code })

describe('mqtt errors', () => {
  test.each([
    [1, 'MQTT_VERSION'],
    [2, 'MQTT_CLIENT_ID'],
    [3, 'MQTT_REFUSED'],
    [4, 'MQTT_AUTH'],
    [5, 'MQTT_AUTH'],
    [0x84, 'MQTT_VERSION'],
    [0x85, 'MQTT_CLIENT_ID'],
    [0x86, 'MQTT_AUTH'],
    [0x87, 'MQTT_AUTH'],
    [0x89, 'MQTT_REFUSED'],
    [0x55, 'PROTOCOL_ERROR'],
    [undefined, 'PROTOCOL_ERROR'],
  ])('read CONNACK code %s as %s', (code, expected) => {
    const error = connackError(SERVER, code)
    expect(error.code).toBe(expected)
    expect(error.message).toMatch(/^connecting to 'broker:1883': /)
    expect(refusesVersion(code ?? 0)).toBe(expected === 'MQTT_VERSION')
  })

  test('repeat what the broker said on one line, and not without end', () => {
    const { message } = connackError(SERVER, 0x87, `no\r\n\u0000access${'.'.repeat(999)}`)
    expect(message).toContain('not authorized (no access')
    expect(message.length).toBeLessThan(300)
    expect(message).not.toMatch(/\p{Cc}/u)
  })

  test.each([
    [0x8e, 'MQTT_TAKEN_OVER'],
    [0x8b, 'LINK_LOST'],
    [0x98, 'LINK_LOST'],
    [0x81, 'PROTOCOL_ERROR'],
    [0x00, 'LINK_LOST'],
  ])('read DISCONNECT code %i as %s', (code, expected) => {
    expect(disconnectError(SERVER, code).code).toBe(expected)
  })

  const sockets: readonly (readonly [string, Stage, string])[] = [
    ['ECONNREFUSED', 'dialling', 'CONNECT_REFUSED'],
    ['ENOTFOUND', 'dialling', 'HOST_UNKNOWN'],
    ['EAI_AGAIN', 'dialling', 'HOST_UNKNOWN'],
    ['ETIMEDOUT', 'dialling', 'CONNECT_TIMEOUT'],
    ['ETIMEDOUT', 'up', 'LINK_LOST'],
    ['EHOSTUNREACH', 'dialling', 'CONNECT_FAILED'],
    ['ECONNRESET', 'opened', 'CONNECT_FAILED'],
    ['ECONNRESET', 'up', 'LINK_LOST'],
    ['ESOMETHING', 'up', 'LINK_LOST'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'dialling', 'TLS_NAME_MISMATCH'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'dialling', 'TLS_UNTRUSTED'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'dialling', 'TLS_UNTRUSTED'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'dialling', 'TLS_UNTRUSTED'],
    ['CERT_HAS_EXPIRED', 'dialling', 'TLS_CERT_EXPIRED'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'dialling', 'TLS_HANDSHAKE'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'opened', 'TLS_HANDSHAKE'],
    ['WS_ERR_INVALID_OPCODE', 'up', 'PROTOCOL_ERROR'],
  ]
  test.each(sockets)('read %s while %s as %s', (code, stage, expected) => {
    const cause = coded(code)
    const error = channelError(SERVER, stage, cause)
    expect(error.code).toBe(expected)
    expect(error.message).toContain(SERVER)
    expect(error.cause).toBe(cause)
  })

  test('tell a close during the TLS handshake from a reset', () => {
    const text = 'Client network socket disconnected before secure TLS connection was established'
    expect(channelError(SERVER, 'dialling', coded('ECONNRESET', text)).code).toBe('TLS_HANDSHAKE')
  })

  test('say how far a connection had come when the peer just closed', () => {
    const stages: Stage[] = ['dialling', 'opened', 'up']
    const messages = stages.map((stage) => channelError(SERVER, stage, undefined).message)
    expect(new Set(messages).size).toBe(3)
    expect(timeoutError(SERVER, 10, 'dialling').message).toContain('not reached within 10 ms')
  })

  test('take what the library cannot read for a broken protocol, and a lost ping for half-open', () => {
    expect(libraryError(SERVER, 'up', new Error('Invalid suback code'))).toMatchObject({
      code: 'PROTOCOL_ERROR',
      message: "reading from 'broker:1883': invalid suback code",
    })
    expect(libraryError(SERVER, 'up', new Error('Keepalive timeout')).code).toBe('LINK_HALF_OPEN')
    expect(libraryError(SERVER, 'up', coded('ECONNRESET')).code).toBe('LINK_LOST')
  })

  test('leave our own errors as they are', () => {
    const own = new BridgeError('x', { code: 'INTERNAL' })
    expect(channelError(SERVER, 'up', own)).toBe(own)
    expect(libraryError(SERVER, 'up', own)).toBe(own)
  })

  test('name every refused filter with its reason', () => {
    const refusals = [
      { filter: 'a/#', code: 0x87 },
      { filter: 'b', code: 0xa2 },
    ]
    expect(subscribeError(SERVER, refusals).message).toBe(
      "subscribing at 'broker:1883': refused 'a/#' (not authorized), 'b' (wildcard subscriptions not supported)",
    )
  })
})
