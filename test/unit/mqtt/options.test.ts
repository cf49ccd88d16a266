import { describe, expect, test } from 'vitest'
import { clientOptions, parseEndpoint, tlsOptions, usesTls } from '../../../src/mqtt/options.ts'
import { mqttConfig } from '../../support/mqtt-host.ts'

const DIALECT = { protocolVersion: 5, bridgeMode: false } as const
const SETUP = { dialect: DIALECT, topicAliasMaximum: 0, packetIds: { first: 1, last: 255 } }

describe('broker URLs', () => {
  test.each([
    ['mqtt://broker', 'broker', 1883, 'broker:1883', '/'],
    ['mqtts://broker.site.svc.', 'broker.site.svc', 8883, 'broker.site.svc:8883', '/'],
    ['ws://broker/mqtt?a=1', 'broker', 80, 'broker:80', '/mqtt?a=1'],
    ['wss://broker:9443', 'broker', 9443, 'broker:9443', '/'],
    ['mqtt://[::1]:2000', '::1', 2000, '[::1]:2000', '/'],
    ['mqtt://127.0.0.1:1', '127.0.0.1', 1, '127.0.0.1:1', '/'],
  ])('reads %s', (url, host, port, server, path) => {
    expect(parseEndpoint(url)).toMatchObject({ host, port, server, path })
  })

  test.each(['http://broker', 'broker:1883', 'mqtt://', '', 'mqtt://user:secret@bro ker'])(
    'refuses "%s" without repeating its user info',
    (url) => {
      expect(() => parseEndpoint(url)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
      expect(() => parseEndpoint(url)).not.toThrow(/secret/)
    },
  )

  test('knows which of them use TLS', () => {
    const secure = ['mqtt', 'mqtts', 'ws', 'wss'].filter((scheme) =>
      usesTls(parseEndpoint(`${scheme}://broker`)),
    )
    expect(secure).toEqual(['mqtts', 'wss'])
  })
})

describe('TLS options', () => {
  test('send the configured name, else the host, and never an address, as SNI', () => {
    expect(tlsOptions({}, 'broker.').servername).toBe('broker')
    expect(tlsOptions({ serverName: 'other.' }, '10.0.0.1').servername).toBe('other')
    expect(tlsOptions({}, '10.0.0.1')).not.toHaveProperty('servername')
  })

  test('check the certificate against the configured name', () => {
    const certificate = { subject: { CN: 'x' }, subjectaltname: 'DNS:other' } as never
    const check = tlsOptions({ serverName: 'other' }, 'broker').checkServerIdentity
    expect(check?.('broker', certificate)).toBeUndefined()
    expect(tlsOptions({}, 'broker').checkServerIdentity?.('broker', certificate)).toBeInstanceOf(
      Error,
    )
  })

  test('name the file that cannot be read', () => {
    expect(() => tlsOptions({ caFile: '/does/not/exist.pem' }, 'broker')).toThrow(
      expect.objectContaining({
        code: 'TLS_FILE_UNREADABLE',
        message: expect.stringContaining("'/does/not/exist.pem'"),
      }),
    )
  })
})

describe('client options', () => {
  test('keep the session, announce the window, and leave reconnecting and storing to us', () => {
    const options = clientOptions(mqttConfig({ window: 70_000, sessionExpiry: 60 }), SETUP)
    expect(options).toMatchObject({
      clean: false,
      reconnectPeriod: 0,
      resubscribe: false,
      properties: { sessionExpiryInterval: 60, receiveMaximum: 65_535 },
    })
    expect(options.properties).not.toHaveProperty('topicAliasMaximum')
    expect(options.properties).not.toHaveProperty('maximumPacketSize')
    expect(options).not.toHaveProperty('will')
    expect(options).not.toHaveProperty('username')
  })

  test('end a 3.1.1 session with its connection only when it is to expire at once', () => {
    const setup = { ...SETUP, dialect: { protocolVersion: 4, bridgeMode: true } as const }
    expect(clientOptions(mqttConfig({ sessionExpiry: 1 }), setup).clean).toBe(false)
    expect(clientOptions(mqttConfig({ sessionExpiry: 0 }), setup).clean).toBe(true)
    expect(clientOptions(mqttConfig(), setup)).not.toHaveProperty('properties')
  })

  test('read the password at every call', () => {
    let reads = 0
    const password = { origin: 'file p', read: () => `p${++reads}` }
    const config = mqttConfig({ username: 'u', password })
    expect(clientOptions(config, SETUP)).toMatchObject({ username: 'u', password: 'p1' })
    expect(clientOptions(config, SETUP).password).toBe('p2')
  })
})
