import type { Paint } from './terminal.ts'

/** One thing the doctor looked at. */
export interface Finding {
  readonly side: 'mqtt' | 'nats'
  /** `problem`: this side cannot do what the configuration asks. */
  readonly level: 'ok' | 'warning' | 'problem'
  /** What was found. */
  readonly text: string
  /** What to do about it; empty when there is nothing to do. */
  readonly advice: string
}

const STYLES = { ok: 'green', warning: 'yellow', problem: 'red' } as const
const WIDTH = Math.max(...Object.keys(STYLES).map((level) => level.length))

/** The findings for people, one line each, the advice below it. */
export function showFindings(findings: readonly Finding[], paint: Paint): string {
  return findings
    .map(({ side, level, text, advice }) => {
      const line = `  ${side}  ${paint(STYLES[level], level.padEnd(WIDTH))}  ${text}\n`
      return advice === '' ? line : `${line}${' '.repeat(10 + WIDTH)}→ ${advice}\n`
    })
    .join('')
}
