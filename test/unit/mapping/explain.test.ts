import { describe, expect, it } from 'vitest'
import type { Direction, RouteConfig } from '../../../src/core/config.ts'
import { type Explanation, explain } from '../../../src/mapping/explain.ts'
import { compileRoutes } from '../../../src/mapping/route-table.ts'
import { route } from './routes-support.ts'

function outcome(
  routes: readonly RouteConfig[],
  direction: Direction,
  name: string,
): Explanation['outcome'] {
  const explained = explain(compileRoutes(routes).table, routes, direction, name)
  expect(explained).toMatchObject({ direction, name })
  return explained.outcome
}

const MAIN = route({ name: 'main', mqttPrefix: 'mqtt/', natsPrefix: 'site/' })

describe('explaining a name', () => {
  it('tells route, x, target and the way back from MQTT', () => {
    expect(outcome([MAIN], 'mqttToNats', 'mqtt/a b/c')).toEqual({
      kind: 'route',
      route: 'main',
      index: 0,
      x: 'a b/c',
      target: 'site.a/20b.c',
      escaped: true,
      back: { kind: 'same', route: 'main' },
    })
  })

  it('tells route, x, target and the way back from NATS', () => {
    expect(outcome([MAIN], 'natsToMqtt', 'site.a.b')).toEqual({
      kind: 'route',
      route: 'main',
      index: 0,
      x: 'a/b',
      target: 'mqtt/a/b',
      escaped: false,
      back: { kind: 'same', route: 'main' },
    })
  })

  it('tells when the way back leads elsewhere', () => {
    const routes = [
      route({ name: 'one', mqttPrefix: 'a/' }),
      route({ name: 'two', mqttPrefix: 'b/' }),
    ]
    expect(outcome(routes, 'mqttToNats', 'b/x')).toMatchObject({
      route: 'two',
      back: { kind: 'other', route: 'one', target: 'a/x' },
    })
  })

  it('tells when there is no way back', () => {
    const up = route({ name: 'up', direction: 'mqttToNats' })
    expect(outcome([up], 'mqttToNats', 'x')).toMatchObject({
      kind: 'route',
      back: { kind: 'refused', reason: 'noRoute' },
    })
    expect(outcome([MAIN], 'mqttToNats', 'mqtt/a\tb')).toMatchObject({
      kind: 'route',
      back: { kind: 'refused', route: 'main', reason: 'unmappable' },
    })
  })

  it('tells why a name is refused, by which route, and what to do', () => {
    expect(outcome([MAIN], 'mqttToNats', 'other')).toMatchObject({
      kind: 'refused',
      route: '(none)',
      reason: 'noRoute',
    })
    expect(outcome([MAIN], 'natsToMqtt', 'site.a/b')).toEqual({
      kind: 'refused',
      route: 'main',
      reason: 'unmappable',
      text: 'the subject is not the conversion of any topic',
      remedy: expect.stringContaining('rename it'),
    })
    expect(outcome([MAIN], 'natsToMqtt', '$JS.API.INFO')).toMatchObject({
      kind: 'refused',
      reason: 'reserved',
      remedy: expect.stringContaining('another first level'),
    })
  })
})
