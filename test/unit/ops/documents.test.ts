import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { DROP_REASONS } from '../../../src/core/books.ts'
import { ERRORS } from '../../../src/core/errors.ts'
import { snake } from '../../../src/ops/metric-scene.ts'
import { METRICS } from '../../../src/ops/metrics.ts'

/** Cells of the table rows whose first cell is a name that fits. */
function rows(file: string, name: RegExp): string[][] {
  const text = readFileSync(new URL(`../../../docs/${file}`, import.meta.url), 'utf8')
  return text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.slice(2, -2).split(' | '))
    .filter(([first = '']) => name.test(first))
}

describe('docs/errors.md', () => {
  const documented = rows('errors.md', /^`[A-Z_]+`$/)

  it('has one row for each error code and none besides', () => {
    const codes = documented.map(([code = '']) => code.replaceAll('`', ''))
    expect(codes.sort()).toEqual(Object.keys(ERRORS).sort())
  })

  it.each(Object.entries(ERRORS))('tells the hint and retry of %s as they are', (code, kind) => {
    const row = documented.find(([first]) => first === `\`${code}\``)
    expect(row).toHaveLength(4)
    expect(row?.[1]).not.toBe('')
    expect(row?.slice(2)).toEqual([kind.hint, kind.retry ? 'yes' : 'no'])
  })
})

describe('docs/metrics.md', () => {
  const documented = rows('metrics.md', /^`mqttnats_[a-z_]+`$/)

  it('has one row for each metric and none besides', () => {
    const names = documented.map(([name = '']) => name.replaceAll('`', ''))
    expect(names.sort()).toEqual(METRICS.map(({ name }) => name).sort())
  })

  it.each(METRICS.map((metric) => [metric.name, metric] as const))(
    'tells type and labels of %s as they are',
    (name, { type, labels }) => {
      const row = documented.find(([first]) => first === `\`${name}\``)
      const list = labels.map((label) => `\`${label}\``).join(', ')
      expect(row).toHaveLength(5)
      expect(row?.slice(1, 3)).toEqual([type, list === '' ? '–' : list])
    },
  )

  it('explains each drop reason', () => {
    const explained = rows('metrics.md', /^`[a-z_]+`$/).map(([first]) => first)
    for (const reason of DROP_REASONS.filter((each) => each !== 'duplicate')) {
      expect(explained).toContain(`\`${snake(reason)}\``)
    }
  })
})
