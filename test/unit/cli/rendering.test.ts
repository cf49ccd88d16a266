import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { type CheckReport, printCheck } from '../../../src/cli/check.ts'
import { type ExplainReport, printExplain } from '../../../src/cli/explain.ts'
import { show } from '../../../src/cli/tap.ts'
import { painter, type Terminal, visible } from '../../../src/cli/terminal.ts'

const PLAIN = painter(false)

describe('the report of check', () => {
  const report: CheckReport = {
    file: '/etc/bridge.yaml',
    configuration: { log: { level: 'info' } },
    routes: [
      {
        name: 'sensors',
        pattern: '#',
        direction: 'mqttToNats',
        filter: 'mqtt/#',
        wildcards: ['>'],
        qos: 1,
        class: 'event',
        retain: 'keep',
        delivery: 'auto',
        ways: ['mqttToNats confirmed'],
        exclude: ['$SYS/#'],
        notes: ['something to know'],
      },
    ],
    warnings: [
      { path: 'routes[0].pattern', source: 'bridge.yaml:3', text: 'never takes a message' },
    ],
    connections: [{ side: 'nats', level: 'warning', text: 'ends soon', advice: 'renew it' }],
  }

  it('tells the configuration, the routes, the warnings and the connections', () => {
    const { terminal, written } = paper()
    expect(printCheck(report, 'text', terminal)).toBe(0)
    expect(written.out).toBe(`configuration  /etc/bridge.yaml
  log:
    level: info

routes  the first that matches takes the message
   1  sensors  MQTT mqtt/# → NATS >
       qos       up to 1
       class     event, retain keep
       delivery  auto
                 mqttToNats confirmed
       exclude   $SYS/#
       note      something to know

warnings
  routes[0].pattern  bridge.yaml:3
      never takes a message

connections
  nats  warning  ends soon
                 → renew it
`)
  })

  it('is the same as JSON and as YAML', () => {
    const readers = {
      json: (text: string) => JSON.parse(text),
      yaml: (text: string) => parse(text),
    }
    for (const output of ['json', 'yaml'] as const) {
      const read = readers[output]
      const { terminal, written } = paper()
      printCheck(report, output, terminal)
      expect(read(written.out)).toEqual(report)
    }
  })

  it('fails when a side cannot be used, and only then', () => {
    const { terminal } = paper()
    const problem = { side: 'mqtt', level: 'problem', text: 'refused', advice: '' } as const
    expect(printCheck({ ...report, connections: [problem] }, 'json', terminal)).toBe(1)
    const { connections: _, ...offline } = report
    expect(printCheck(offline, 'text', terminal)).toBe(0)
  })
})

describe('the answer of explain', () => {
  const carried: ExplainReport = {
    direction: 'natsToMqtt',
    name: 'a.b',
    carried: {
      route: '#',
      routeIndex: 0,
      matched: 'a/b',
      target: 'mqtt/a/b',
      escaped: false,
      qos: 1,
      retain: 'keep',
      class: 'event',
      delivery: 'live',
      settled: 'at once',
      streams: [],
      back: { route: '#', target: 'a.b' },
    },
  }

  it('tells route, name, way and the way back', () => {
    expect(explained(carried)).toBe(`NATS a.b → MQTT mqtt/a/b
  route     # (routes[0]), x = a/b
  qos       the smaller of the message's and 1
  retain    keep
  class     event
  delivery  live
  settled   at once
  streams   none
  back      to the same name, by route #
`)
  })

  it('tells where the way back leads when it is not the same', () => {
    const there = carried.carried as NonNullable<ExplainReport['carried']>
    const elsewhere = { ...there, escaped: true, back: { route: 'x', target: 'c' } }
    expect(explained({ ...carried, carried: elsewhere })).toMatch(
      /escaped .*\n.*another name: c, by route x\n/,
    )
    const back = {
      route: '(none)',
      reason: 'noRoute',
      text: 'no route takes it',
      remedy: 'add one',
    }
    expect(explained({ ...carried, carried: { ...there, back } })).toContain(
      'is not carried: no route takes it',
    )
  })

  it('tells why a name is not carried, without letting it steer the terminal', () => {
    const refused = { route: 'r', reason: 'reserved', text: 'it is reserved', remedy: 'rename it' }
    expect(explained({ direction: 'mqttToNats', name: '$JS\u001b[2J', refused })).toBe(
      `MQTT $JS\\u001b[2J is not carried
  route     r
  reason    reserved: it is reserved
  remedy    rename it
`,
    )
  })
})

describe('the line of tap', () => {
  const line = {
    time: '2026-01-02T12:00:00.123Z',
    direction: 'mqttToNats',
    route: '#',
    name: 'mqtt/a',
    address: 'a',
    qos: 1,
    retain: true,
    bytes: 4,
    outcome: 'inFlight',
  } as const

  it('tells what was decided', () => {
    expect(show(line, 'text', PLAIN)).toBe(
      '12:00:00.123 MQTT mqtt/a → NATS a  route #, qos 1, retained, 4 B  inFlight\n',
    )
    const dropped = {
      ...line,
      direction: 'natsToMqtt',
      name: '$JS.x',
      address: '',
      qos: -1,
      retain: false,
      outcome: 'reserved',
    } as const
    expect(show(dropped, 'text', PLAIN)).toBe('12:00:00.123 NATS $JS.x  route #, 4 B  ✗ reserved\n')
  })

  it('tells how many were skipped, and speaks YAML', () => {
    expect(show({ skipped: 7 }, 'text', PLAIN)).toBe('… 7 more, not shown\n')
    expect(parse(show(line, 'yaml', PLAIN))).toEqual(line)
  })
})

describe('paint and escapes', () => {
  it('colours only where it may', () => {
    expect(painter(true)('red', 'x')).toBe('\u001b[31mx\u001b[0m')
    expect(PLAIN('red', 'x')).toBe('x')
  })

  it('shows what steers a terminal, or turns text round, as escapes', () => {
    expect(visible('a\u0007\u202eb\u{e0001}ü')).toBe('a\\u0007\\u202eb\\u{e0001}ü')
  })
})

function explained(report: ExplainReport): string {
  const { terminal, written } = paper()
  printExplain(report, 'text', terminal)
  return written.out
}

function paper(): { terminal: Terminal; written: { out: string } } {
  const written = { out: '' }
  const out = (text: string) => {
    written.out += text
  }
  return { terminal: { out, err: () => undefined, colour: false }, written }
}
