import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { parseText, readDocument } from '../../../src/config/document.ts'
import { tempFolder } from '../../support/temp.ts'

it('knows the line of each key and item, in YAML and JSON', () => {
  const yaml = parseText('a:\n  b: 1\nroutes:\n  - x: 1\n    y z: 2\n  -\n', 'f.yaml')
  expect([...yaml.lines]).toEqual([
    ['a', 1],
    ['a.b', 2],
    ['routes', 3],
    ['routes[0]', 4],
    ['routes[0].x', 4],
    ['routes[0]."y z"', 5],
    ['routes[1]', 6],
  ])
  const json = parseText('{\n"a": {\n"b": [1,\n2]}}', 'f.json')
  expect(json.root).toEqual({ a: { b: [1, 2] } })
  expect(json.lines.get('a.b[1]')).toBe(4)
})

it('reads anchors, aliases and merged keys', () => {
  const { root } = parseText('a: &x { b: 1 }\nc: { <<: *x, d: 2 }\n? [1]\n: 2\n', 'f')
  expect(root).toMatchObject({ c: { b: 1, d: 2 } })
})

it.each(['', '# only a comment\n'])('%j holds nothing', (text) => {
  expect(parseText(text, 'f')).toMatchObject({ root: null, problems: [] })
})

it('says the line of what is no YAML, without repeating it', () => {
  const { problems } = parseText('a: 1\npassword: *canary\n', 'f.yaml')
  expect(problems).toEqual([
    { path: '(file)', text: expect.stringContaining('in quotes'), source: 'f.yaml:2' },
  ])
  expect(parseText('a: [1, 2', 'f').problems[0]?.source).toBe('f:1')
  expect(parseText('a: {]}', 'f').problems.length).toBeGreaterThan(0)
})

it('gives up on aliases that multiply', () => {
  const level = (n: number) => `l${n}: &l${n} [${`*l${n - 1},`.repeat(9)}]\n`
  const bomb = `l0: &l0 [x,x]\n${[1, 2, 3, 4, 5, 6].map(level).join('')}`
  expect(parseText(bomb, 'f').problems[0]?.text).toContain('too many aliases')
})

it('no text makes it throw or repeat a secret', () => {
  const sign = fc.constantFrom(
    '*',
    '&',
    '!',
    '%',
    '@',
    '`',
    '"',
    "'",
    '{',
    '[',
    '|',
    '- ',
    ': ',
    '\t',
  )
  const line = fc
    .tuple(sign, fc.constantFrom('', '\n', ' ', ': '))
    .map(([a, b]) => `${a}canary${b}`)
  fc.assert(
    fc.property(fc.array(line, { maxLength: 5 }), (lines) => {
      const { problems } = parseText(`password: ${lines.join('')}`, 'f')
      expect(JSON.stringify(problems)).not.toContain('canary')
    }),
    { numRuns: 1000 },
  )
})

it('a file that cannot be read is CONFIG_UNREADABLE', async () => {
  await using folder = await tempFolder()
  const file = join(folder.path, 'f.yaml')
  const read = () => readDocument(file, 'f.yaml')
  expect(read).toThrowError(expect.objectContaining({ code: 'CONFIG_UNREADABLE' }))
  mkdirSync(file)
  expect(read).toThrowError("reading configuration file 'f.yaml': not a file")
  const large = join(folder.path, 'large.yaml')
  writeFileSync(large, '#'.repeat(1_048_577))
  expect(() => readDocument(large, 'large')).toThrowError('1048577 bytes are too many')
})
