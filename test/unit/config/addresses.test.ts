import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  addresses,
  addressesOrEmbedded,
  formatListen,
  listen,
  listenOrOff,
  MQTT_SCHEMES,
  NATS_SCHEMES,
  splitAddresses,
} from '../../../src/config/addresses.ts'

const mqtt = addressesOrEmbedded(MQTT_SCHEMES, 'mqtts://broker.example:8883')
const nats = addresses(NATS_SCHEMES, 'tls://nats.example:4222')

function urls(value: unknown): unknown {
  const parsed = mqtt.parse(value)
  if (!parsed.ok) return parsed.mistakes.map(({ at, text }) => at + text.split(':')[0])
  return parsed.value === 'embedded' ? 'embedded' : parsed.value.map(({ url }) => url)
}

describe('server addresses', () => {
  it.each([
    ['mqtt://broker', 'mqtt://broker:1883'],
    ['MQTTS://broker', 'mqtts://broker:8883'],
    ['ws://broker', 'ws://broker:80'],
    ['wss://broker/mqtt', 'wss://broker:443/mqtt'],
    ['wss://broker:443', 'wss://broker:443'],
    ['mqtt://broker.svc.cluster.local.:1884/', 'mqtt://broker.svc.cluster.local:1884'],
    ['mqtt://[::1]', 'mqtt://[::1]:1883'],
    ['mqtt://me:secret@broker', 'mqtt://broker:1883'],
  ])('%s is dialled as %s', (written, dialled) => {
    expect(urls(written)).toEqual([dialled])
  })

  it('take user info out of the URL, decoded', () => {
    const parsed = nats.parse(['nats://a%40b:c%3Ad@host', 'tls://token@host'])
    expect(parsed).toMatchObject({
      ok: true,
      value: [
        { url: 'nats://host:4222', secure: false, username: 'a@b', password: 'c:d' },
        { url: 'tls://host:4222', secure: true, username: 'token' },
      ],
    })
  })

  it('know the word embedded, alone only', () => {
    expect(urls('embedded')).toBe('embedded')
    expect(urls(['embedded'])).toBe('embedded')
    expect(urls(['embedded', 'mqtt://a'])).toEqual(['[0]embedded stands alone'])
  })

  it.each([
    [[], 'is an empty list'],
    [7, 'is not text'],
    ['broker:1883', 'has no scheme'],
    ['http://broker', "'http"],
    ['constructor://broker', "'constructor"],
    ['mqtt://', 'names no host'],
    ['mqtt://./', 'names no host'],
    ['mqtt://a b', 'is not a valid URL'],
    ['mqtt://a:99999', 'is not a valid URL'],
    ['mqtt://a:0', 'has port 0'],
    ['mqtt://a/path', 'has a path, which mqtt'],
    ['ws://a/?token=x', 'has a query or fragment, which is not used'],
    ['mqtt://%zz@a', 'has user info that is not percent-encoded rightly'],
  ])('%j is refused', (written, start) => {
    expect(urls(written)).toEqual([start])
  })

  it('say which of several is wrong', () => {
    expect(urls(['mqtt://a', 'b'])).toEqual(['[1]has no scheme'])
  })

  it('are split at commas before a scheme only, so that a password may hold one', () => {
    expect(splitAddresses('nats://a:x,y@h:1,tls://b , ')).toEqual(['nats://a:x,y@h:1', 'tls://b ,'])
    expect(splitAddresses(' ')).toEqual([])
  })

  it('never repeat what was written in a mistake, whatever it is', () => {
    const canary = fc.constantFrom('canary-1', 'u:canary-2', 'u:canary/3', 'canary@x')
    const around = fc.constantFrom('', 'mqtt://', 'mqtts:/', '//', 'nats://', 'mqtt://a b:')
    fc.assert(
      fc.property(around, canary, fc.constantFrom('@host', '@', ':99999', ''), (a, b, c) => {
        const parsed = mqtt.parse(a + b + c)
        if (!parsed.ok) expect(JSON.stringify(parsed.mistakes)).not.toContain('canary')
      }),
    )
  })
})

describe('listen addresses', () => {
  it.each([
    ['127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65_535 }],
  ])('%s is read and written back', (written, address) => {
    expect(listen().parse(written)).toEqual({ ok: true, value: address })
    expect(formatListen(address)).toBe(written)
  })

  it.each([':8080', '8080', 'a:b', 'a:65536', 'http://a:1', '', 8080, null])(
    'refuses %j',
    (written) => expect(listen().parse(written).ok).toBe(false),
  )

  it('may be off where that makes sense', () => {
    expect(listenOrOff().parse('off')).toEqual({ ok: true, value: 'off' })
    expect(listenOrOff().parse('a:1').ok).toBe(true)
    expect(listenOrOff().parse(false)).toMatchObject({
      mistakes: [{ text: expect.stringMatching(/, or off$/) }],
    })
  })
})
