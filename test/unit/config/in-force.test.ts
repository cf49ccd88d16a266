import { describe, expect, it } from 'vitest'
import { ConfigInForce } from '../../../src/config/in-force.ts'
import { loadConfig } from '../../../src/config/load.ts'

describe('the configuration in force', () => {
  it('takes the log level over at once', () => {
    const inForce = new ConfigInForce(read(), 1)
    const before = inForce.state.hash
    expect(inForce.take(read({ 'log.level': 'debug' }), 2)).toEqual({ pending: [], level: 'debug' })
    expect(inForce.state).toMatchObject({ lastReloadOk: true, lastReloadOkAt: 2 })
    expect(inForce.state.hash).not.toBe(before)
  })

  it('names what waits for the next start, and counts that as not taken over', () => {
    const inForce = new ConfigInForce(read(), 1)
    const before = inForce.state.hash
    const changed = read({ 'mqtt.keepalive': '5s', 'mqtt.username': 'bob', 'mqtt.password': 'x' })
    expect(inForce.take(changed, 2)).toEqual({
      pending: ['mqtt.keepalive', 'mqtt.username', 'mqtt.password'],
    })
    expect(inForce.state).toEqual({ hash: before, lastReloadOk: false, lastReloadOkAt: 1 })
  })

  it('is content when the file is put back', () => {
    const inForce = new ConfigInForce(read(), 1)
    inForce.take(read({ 'mqtt.keepalive': '5s' }), 2)
    expect(inForce.take(read(), 3)).toEqual({ pending: [] })
    expect(inForce.state).toMatchObject({ lastReloadOk: true, lastReloadOkAt: 3 })
  })

  it('notices another inline secret, of which the digest tells nothing', () => {
    const one = new ConfigInForce(read({ 'nats.auth.token': 'one' }), 1)
    const two = new ConfigInForce(read({ 'nats.auth.token': 'two' }), 1)
    expect(two.state.hash).toBe(one.state.hash)
    expect(one.take(read({ 'nats.auth.token': 'two' }), 2).pending).toEqual(['nats.auth.token'])
  })

  it('does not look into secrets that are files, which are read at each connect', () => {
    const inForce = new ConfigInForce(read({ 'nats.auth.tokenFile': '/missing' }), 1)
    expect(inForce.take(read({ 'nats.auth.tokenFile': '/missing' }), 2).pending).toEqual([])
  })

  it('remembers a refused reading until a good one', () => {
    const inForce = new ConfigInForce(read(), 1)
    inForce.refuse()
    expect(inForce.state).toMatchObject({ lastReloadOk: false, lastReloadOkAt: 1 })
    inForce.take(read(), 2)
    expect(inForce.state).toMatchObject({ lastReloadOk: true, lastReloadOkAt: 2 })
  })
})

function read(flags: Readonly<Record<string, string>> = {}) {
  return loadConfig({ env: {}, flags }).config
}
