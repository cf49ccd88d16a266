/** A family of series as it stands in a scrape. */
export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly samples: { name: string; labels: Record<string, string>; value: number }[]
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/y
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`)
const COMMENT = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`)

/**
 * Reads a scrape strictly and throws at the first thing that is wrong: help and type before samples, no
 * family or series twice, sample names that fit the type, counters named `_total`, cumulative buckets.
 */
export function parseExposition(
  text: string,
  format: 'prometheus' | 'openmetrics',
): Map<string, Family> {
  const lines = text.split('\n')
  if (lines.pop() !== '') throw new Error('the last line has no line break')
  if (format === 'openmetrics' && lines.pop() !== '# EOF') throw new Error('# EOF is missing')
  const families = new Map<string, Family>()
  const seen = new Set<string>()
  let help: [string, string] | undefined
  let family: Family | undefined
  for (const line of lines) {
    if (line === '' && format === 'prometheus') continue
    const comment = COMMENT.exec(line)
    if (comment !== null) {
      const [, kind, name = '', rest = ''] = comment
      if (kind === 'HELP') help = [name, rest]
      else {
        if (help?.[0] !== name) throw new Error(`${name}: no help before its type`)
        if (families.has(name)) throw new Error(`${name}: family twice`)
        family = { name, type: rest, help: help[1], samples: [] }
        checkFamilyName(family, format)
        families.set(name, family)
      }
      continue
    }
    if (family === undefined) throw new Error(`a sample before any family: ${line}`)
    const sample = parseSample(line)
    if (seen.has(line.slice(0, line.lastIndexOf(' '))))
      throw new Error(`the same series twice: ${line}`)
    seen.add(line.slice(0, line.lastIndexOf(' ')))
    if (!sampleNames(family, format).includes(sample.name))
      throw new Error(`${sample.name} does not belong to ${family.type} ${family.name}`)
    family.samples.push(sample)
  }
  for (const each of families.values()) if (each.type === 'histogram') checkHistogram(each)
  return families
}

function parseSample(line: string): Family['samples'][number] {
  const match = SAMPLE.exec(line)
  if (match === null) throw new Error(`not a sample: ${line}`)
  const [, name = '', labelText = '', valueText = ''] = match
  const value = Number(valueText.replace('Inf', 'Infinity'))
  if (Number.isNaN(value) && valueText !== 'NaN') throw new Error(`not a number: ${line}`)
  return { name, labels: parseLabels(labelText), value }
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {}
  LABEL.lastIndex = 0
  let at = 0
  while (at < text.length) {
    LABEL.lastIndex = at
    const match = LABEL.exec(text)
    if (match === null) throw new Error(`not labels: ${text}`)
    const [, name = '', value = ''] = match
    if (name in labels) throw new Error(`label twice: ${text}`)
    labels[name] = value.replace(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char))
    at = LABEL.lastIndex
    if (at < text.length && text[at++] !== ',') throw new Error(`not labels: ${text}`)
  }
  return labels
}

function checkFamilyName({ name, type }: Family, format: string): void {
  if (!['counter', 'gauge', 'histogram', 'summary'].includes(type))
    throw new Error(`${name}: type ${type}`)
  const total = name.endsWith('_total')
  if (total !== (type === 'counter' && format === 'prometheus'))
    throw new Error(`${name}: a ${type} named so in ${format}`)
}

function sampleNames({ name, type }: Family, format: string): string[] {
  if (type === 'histogram') return [`${name}_bucket`, `${name}_sum`, `${name}_count`]
  if (type === 'summary') return [name, `${name}_sum`, `${name}_count`]
  return [type === 'counter' && format === 'openmetrics' ? `${name}_total` : name]
}

function checkHistogram({ name, samples }: Family): void {
  const last = new Map<string, { le: number; count: number }>()
  for (const sample of samples) {
    const { le, ...labels } = sample.labels
    const key = JSON.stringify(labels)
    if (sample.name === `${name}_bucket`) {
      const bound = Number(le?.replace('+Inf', 'Infinity'))
      const before = last.get(key) ?? { le: -1, count: 0 }
      if (!(bound > before.le) || sample.value < before.count)
        throw new Error(`${name}: buckets do not grow at le=${le}`)
      last.set(key, { le: bound, count: sample.value })
    } else if (sample.name === `${name}_count`) {
      const end = last.get(key)
      if (end?.le !== Infinity || end.count !== sample.value)
        throw new Error(`${name}: the last bucket and the count differ`)
    }
  }
}
