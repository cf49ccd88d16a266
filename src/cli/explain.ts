import type { Direction } from '../core/config.ts'
import { type Output, render } from './output.ts'
import { type Paint, painter, type Terminal, visible } from './terminal.ts'

/** Why a name goes no further, and what to do about it. */
export interface NotCarried {
  /** Name of the route that would have taken it; `(none)` when there is none. */
  readonly route: string
  readonly reason: string
  readonly text: string
  readonly remedy: string
}

/** What becomes of a name. */
export interface ExplainReport {
  readonly direction: Direction
  readonly name: string
  /** Where the routes came from when no configuration was given; else absent. */
  readonly note?: string
  /** Exactly one of the two is there. */
  readonly carried?: {
    readonly route: string
    readonly routeIndex: number
    /** What the pattern of the route matched. */
    readonly matched: string
    /** Name on the far side. */
    readonly target: string
    /** True when the name crosses by the escape, which nats-server's own conversion does not know. */
    readonly escaped: boolean
    /** QoS on the far side at most. */
    readonly qos: number
    readonly retain: string
    readonly class: string
    readonly delivery: string
    /** When a message of QoS 1 is acknowledged to where it came from, in words. */
    readonly settled: string
    /** Streams that cover the subject; absent when nobody asked the server. */
    readonly streams?: readonly string[]
    readonly back: { readonly route: string; readonly target: string } | NotCarried
  }
  readonly refused?: NotCarried
}

/** Prints what becomes of a name. */
export function printExplain(report: ExplainReport, output: Output, terminal: Terminal): void {
  terminal.out(render(report, output, () => textOf(report, painter(terminal.colour))))
}

function textOf(report: ExplainReport, paint: Paint): string {
  const { direction, carried, refused, note } = report
  const [near, far] = direction === 'mqttToNats' ? ['MQTT', 'NATS'] : ['NATS', 'MQTT']
  const name = visible(report.name)
  const lines: (readonly [string, string])[] = []
  if (note !== undefined) lines.push(['note', note])
  if (carried !== undefined) {
    lines.push(
      [
        'route',
        `${carried.route} (routes[${carried.routeIndex}]), x = ${visible(carried.matched)}`,
      ],
      ['qos', `the smaller of the message's and ${carried.qos}`],
      ['retain', carried.retain],
      ['class', carried.class],
      ['delivery', carried.delivery],
      ['settled', carried.settled],
    )
    if (carried.streams !== undefined) {
      lines.push(['streams', carried.streams.length === 0 ? 'none' : carried.streams.join(', ')])
    }
    if (carried.escaped) {
      lines.push(['escaped', 'holds what nats-server does not take, and crosses by the escape'])
    }
    lines.push(['back', backText(report.name, far, carried.back)])
  } else if (refused !== undefined) {
    lines.push(['reason', `${refused.reason}: ${refused.text}`], ['remedy', refused.remedy])
    if (refused.route !== '(none)') lines.unshift(['route', refused.route])
  }
  const head =
    carried === undefined
      ? `${near} ${name} ${paint('red', 'is not carried')}`
      : `${near} ${name} ${paint('green', '→')} ${far} ${visible(carried.target)}`
  const body = lines.map(([key, text]) => `  ${paint('dim', key.padEnd(9))} ${text}\n`)
  return `${paint('bold', head)}\n${body.join('')}`
}

type Back = NonNullable<ExplainReport['carried']>['back']

function backText(name: string, far: string, back: Back): string {
  if ('reason' in back) return `a ${far} message of this name is not carried: ${back.text}`
  return back.target === name
    ? `to the same name, by route ${back.route}`
    : `to another name: ${visible(back.target)}, by route ${back.route}`
}
