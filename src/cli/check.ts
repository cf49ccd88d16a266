import type { RouteConfig } from '../core/config.ts'
import type { Problem } from '../core/errors.ts'
import { type Finding, showFindings } from './finding.ts'
import { type Output, render, toYaml } from './output.ts'
import { type Paint, painter, type Terminal } from './terminal.ts'

/** What one route will do. */
export interface RoutePlan {
  readonly name: string
  readonly pattern: string
  readonly direction: RouteConfig['direction']
  /** What it takes on MQTT. */
  readonly filter: string
  /** What it takes on NATS. */
  readonly wildcards: readonly string[]
  /** Ceiling of the QoS on the far side, as written. */
  readonly qos: number
  readonly class: string
  readonly retain: string
  readonly delivery: string
  /** How each direction delivers, in words. */
  readonly ways: readonly string[]
  readonly exclude: readonly string[]
  /** What is written but has no effect. */
  readonly notes: readonly string[]
}

/** The configuration as the bridge understands it, and what both sides say to it. */
export interface CheckReport {
  /** The file that was read; absent when there is none. */
  readonly file?: string
  /** The configuration in its own words, secrets redacted. */
  readonly configuration: object
  readonly routes: readonly RoutePlan[]
  readonly warnings: readonly Problem[]
  /** Present when both sides were dialled. */
  readonly connections?: readonly Finding[]
}

/** Prints the report. Returns the exit code: 1 when a side cannot be used. */
export function printCheck(report: CheckReport, output: Output, terminal: Terminal): number {
  terminal.out(render(report, output, () => textOf(report, painter(terminal.colour))))
  const { connections = [] } = report
  return connections.some(({ level }) => level === 'problem') ? 1 : 0
}

function textOf(report: CheckReport, paint: Paint): string {
  const { file, configuration, routes, warnings, connections } = report
  const from = file === undefined ? 'no file; environment, flags and defaults' : file
  const blocks = [
    `${paint('bold', 'configuration')}  ${from}\n${indent(toYaml(configuration))}`,
    `${paint('bold', 'routes')}  the first that matches takes the message\n${routes
      .map((route, index) => routeText(route, index, paint))
      .join('\n')}`,
  ]
  if (warnings.length > 0) {
    const lines = warnings.map(
      ({ path, source, text }) => `  ${paint('yellow', path)}  ${source}\n      ${text}\n`,
    )
    blocks.push(`${paint('bold', 'warnings')}\n${lines.join('')}`)
  }
  if (connections !== undefined) {
    blocks.push(`${paint('bold', 'connections')}\n${showFindings(connections, paint)}`)
  }
  return blocks.join('\n')
}

function routeText(route: RoutePlan, index: number, paint: Paint): string {
  const mqtt = `MQTT ${route.filter}`
  const nats = `NATS ${route.wildcards.join(', ')}`
  const arrows = { mqttToNats: '→', natsToMqtt: '←', both: '↔' } as const
  const facts: (readonly [string, string])[] = [
    ['qos', `up to ${route.qos}`],
    ['class', `${route.class}, retain ${route.retain}`],
    ['delivery', route.delivery],
    ...route.ways.map((text) => ['', text] as const),
    ...(route.exclude.length === 0 ? [] : [['exclude', route.exclude.join(', ')] as const]),
    ...route.notes.map((note) => ['note', note] as const),
  ]
  const lines = facts.map(([name, text]) => `       ${paint('dim', name.padEnd(9))} ${text}\n`)
  const head = `${String(index + 1).padStart(4)}  ${paint('bold', route.name)}`
  return `${head}  ${mqtt} ${arrows[route.direction]} ${nats}\n${lines.join('')}`
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ')
}
