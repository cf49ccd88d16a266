import { expect, it } from 'vitest'
import { formatProblems, invalidConfig, problemsOf } from '../../../src/config/problems.ts'
import { BridgeError } from '../../../src/core/errors.ts'

const problem = (path: string, source: string, text = 'is wrong: write it right') => ({
  path,
  text,
  source,
})

it('the error carries its problems and names the first', () => {
  const problems = [problem('a', 'x.yaml:1'), problem('b', '--b')]
  const error = invalidConfig(problems)
  expect(error.code).toBe('CONFIG_INVALID')
  expect(problemsOf(error)).toEqual(problems)
  expect(error.message).toBe(
    'checking the configuration: a is wrong: write it right (x.yaml:1), and 1 more',
  )
  expect(invalidConfig([]).message).toBe('checking the configuration')
})

it('other errors carry none', () => {
  expect(problemsOf(new Error('x'))).toEqual([])
  expect(problemsOf(undefined)).toEqual([])
  expect(problemsOf(new BridgeError('x', { code: 'USAGE' }))).toEqual([])
})

it('the report goes by lines of the file, then variables, then flags', () => {
  const report = formatProblems([
    problem('flag', '--flag'),
    problem('other', '--other'),
    problem('variable', 'MQTTNATS_X'),
    problem('ten', 'x.yaml:10'),
    problem('nine', 'x.yaml:9'),
  ])
  const order = [...report.matchAll(/^ {2}(\w+)/gm)].map((match) => match[1])
  expect(order).toEqual(['nine', 'ten', 'variable', 'flag', 'other'])
  expect(report).toContain('5 problems in the configuration')
})

it('long texts are wrapped', () => {
  const report = formatProblems([problem('a', '--a', 'word '.repeat(60).trim())])
  expect(report).toContain('1 problem in the configuration')
  expect(Math.max(...report.split('\n').map((line) => line.length))).toBeLessThanOrEqual(96)
})
