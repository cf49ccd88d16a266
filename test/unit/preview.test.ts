import { describe, expect, it } from 'vitest'
import { exposure, loginOf } from '../../src/announce.ts'
import { loadConfig } from '../../src/config/load.ts'
import { explainName, guessDirection, planRoutes } from '../../src/preview.ts'

describe('the plan of a route', () => {
  it('says what it takes on both sides and how it delivers', () => {
    const [plan] = planRoutes(
      config([{ pattern: 'a/#', mqttPrefix: 'mqtt/', natsPrefix: 'site/' }]),
    )
    expect(plan).toEqual({
      name: 'a/#',
      pattern: 'a/#',
      direction: 'both',
      filter: 'mqtt/a/#',
      wildcards: ['site.a.>', 'site.a'],
      qos: 1,
      class: 'event',
      retain: 'keep',
      delivery: 'auto',
      ways: [
        'mqttToNats durable where a stream stores the subject, else confirmed',
        'natsToMqtt durable where a stream stores the subject, else live',
      ],
      exclude: [],
      notes: [],
    })
  })

  it('notes every setting that has no effect', () => {
    const [state, command] = planRoutes(
      config([
        {
          pattern: 'a',
          qos: 2,
          class: 'state',
          retain: 'force',
          oversize: 'objectStore',
          drainRate: 5,
          onConflict: 'nats',
        },
        { pattern: 'b', class: 'command', ttl: '5s' },
      ]),
    )
    const words = (notes: readonly string[] = []) => notes.map((note) => note.split(/[ :]/)[0])
    expect(words(state?.notes)).toEqual(['qos', 'class', 'oversize', 'drainRate', 'onConflict'])
    expect(words(command?.notes)).toEqual(['class', 'ttl'])
  })

  it('says that QoS 0 is live on the way to NATS', () => {
    const [plan] = planRoutes(config([{ pattern: '#', qos: 0, direction: 'mqttToNats' }]))
    expect(plan?.ways).toEqual(['mqttToNats live'])
  })
})

describe('explain', () => {
  const auto = config([{ pattern: '#', mqttPrefix: 'mqtt/' }])

  it('reads a name without --from by its separator', () => {
    expect(guessDirection('a/b')).toBe('mqttToNats')
    expect(guessDirection('a.b')).toBe('natsToMqtt')
    expect(guessDirection('a.b/c')).toBe('mqttToNats')
    expect(guessDirection('a')).toBe('mqttToNats')
  })

  it.each([
    [undefined, 'durable where a stream stores the subject, else confirmed'],
    [[], 'confirmed, no stream stores the subject'],
    [[{ name: 'S', subjects: ['a.>'] }], 'durable through stream S'],
    [[{ name: 'S', subjects: ['b.>'] }], 'confirmed, no stream stores the subject'],
  ])('says how an auto route delivers, given the streams %j', (streams, delivery) => {
    expect(explainName(auto, 'mqttToNats', 'mqtt/a/b', streams).carried).toMatchObject({
      target: 'a.b',
      matched: 'a/b',
      delivery,
      back: { route: '#', target: 'mqtt/a/b' },
    })
  })

  it.each([
    ['live', undefined, 'live', /^at once/],
    ['confirmed', undefined, 'live', /^at once/],
    ['durable', undefined, 'durable', /^when the broker has it/],
    ['durable', [], 'durable, but no stream stores the subject: dropped as noStream', /./],
  ])('says how a %s route delivers to MQTT', (delivery, streams, text, settled) => {
    const { carried } = explainName(
      config([{ pattern: '#', delivery }]),
      'natsToMqtt',
      'a.b',
      streams,
    )
    expect(carried?.delivery).toBe(text)
    expect(carried?.settled).toMatch(settled)
  })

  it('says why a name is not carried', () => {
    expect(explainName(auto, 'mqttToNats', 'other/a').refused).toMatchObject({ reason: 'noRoute' })
    expect(explainName(auto, 'natsToMqtt', '$JS.API.INFO').refused).toMatchObject({
      reason: 'reserved',
    })
  })

  it('says where the way back leads when it is another route, or none', () => {
    const routes = [
      { pattern: 'a/#', direction: 'mqttToNats', natsPrefix: 'x/' },
      { pattern: '#', direction: 'natsToMqtt', mqttPrefix: 'back/' },
    ]
    expect(explainName(config(routes), 'mqttToNats', 'a/b').carried?.back).toEqual({
      route: '#',
      target: 'back/x/a/b',
    })
    expect(
      explainName(config(routes.slice(0, 1)), 'mqttToNats', 'a/b').carried?.back,
    ).toMatchObject({
      reason: 'noRoute',
    })
  })
})

describe('what is announced', () => {
  it('warns of what travels in clear beyond this machine, or stands open', () => {
    const remote = loadConfig({
      env: {},
      flags: { 'mqtt.url': 'mqtt://broker', 'nats.servers': 'nats://server' },
    }).config
    expect(exposure(remote).map(({ side }) => side)).toEqual(['mqtt', 'nats'])
    const open = loadConfig({
      env: {},
      flags: { 'mqtt.url': 'embedded', 'mqtt.embedded.listen': '0.0.0.0:1883' },
    }).config
    expect(exposure(open)).toEqual([
      { side: 'mqtt', text: expect.stringContaining('mqtt.embedded.usersFile') },
    ])
    const safe = { 'mqtt.url': 'mqtts://broker', 'nats.servers': 'tls://server' }
    expect(exposure(loadConfig({ env: {}, flags: safe }).config)).toEqual([])
    expect(exposure(loadConfig({ env: {} }).config)).toEqual([])
  })

  it.each([
    [{}, 'none'],
    [{ jwt: 'x' }, 'bearer JWT'],
    [{ jwt: 'x', seed: 'y' }, 'JWT with seed'],
    [{ seed: 'y' }, 'nkey'],
    [{ creds: 'x' }, 'JWT and seed of a creds file'],
    [{ token: 'x' }, 'token'],
    [{ username: 'bob', password: 'x' }, 'user bob'],
  ])('names the login %j without its secrets', (auth, words) => {
    const flags = Object.fromEntries(
      Object.entries(auth).map(([key, value]) => [`nats.auth.${key}`, value]),
    )
    expect(loginOf(loadConfig({ env: {}, flags }).config.nats.auth)).toBe(words)
  })
})

function config(routes: readonly object[]) {
  return loadConfig({ env: {}, flags: { routes: JSON.stringify(routes) } }).config
}
