import { BridgeError, type Problem } from '../core/errors.ts'

const problemsByError = new WeakMap<BridgeError, readonly Problem[]>()

/** Columns a report keeps to, where words allow. */
const WIDTH = 96

/** The error of a configuration with problems: `BridgeError` CONFIG_INVALID; {@link problemsOf} gives them back. */
export function invalidConfig(problems: readonly Problem[]): BridgeError {
  const first = problems[0]
  const start = first === undefined ? '' : `: ${first.path} ${first.text} (${first.source})`
  const more = problems.length > 1 ? `, and ${problems.length - 1} more` : ''
  const error = new BridgeError(`checking the configuration${start}${more}`, {
    code: 'CONFIG_INVALID',
  })
  problemsByError.set(error, [...problems])
  return error
}

/** The problems an error carries; none when it is not of {@link invalidConfig}. */
export function problemsOf(error: unknown): readonly Problem[] {
  return error instanceof BridgeError ? (problemsByError.get(error) ?? []) : []
}

/** Problems in the order of reading: the file by its lines, then variables, then flags. */
export function sortProblems(problems: readonly Problem[]): Problem[] {
  const line = ({ source }: Problem) => Number(/:(\d+)$/.exec(source)?.[1] ?? 0)
  const rank = ({ source }: Problem) => {
    if (/:\d+$/.test(source)) return 0
    return source.startsWith('--') ? 2 : 1
  }
  return [...problems].sort((left, right) => rank(left) - rank(right) || line(left) - line(right))
}

/** The report for people: a heading, then for each problem its path, its source and what would be right. */
export function formatProblems(problems: readonly Problem[]): string {
  const sorted = sortProblems(problems)
  const column = Math.min(40, Math.max(0, ...sorted.map(({ path }) => path.length)))
  const blocks = sorted.map(
    ({ path, text, source }) => `  ${path.padEnd(column)}  ${source}\n${wrap(text, '      ')}`,
  )
  const count = sorted.length === 1 ? '1 problem' : `${sorted.length} problems`
  return [`${count} in the configuration`, ...blocks].join('\n\n').concat('\n')
}

function wrap(text: string, indent: string): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > WIDTH) {
      lines.push(indent + line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, indent + line].join('\n')
}
