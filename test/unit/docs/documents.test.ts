import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { DROP_REASONS } from '../../../src/core/books.ts'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

const DOCUMENTS = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', ...filesIn('docs', /\.md$/)]

/** Files below a folder whose name fits, as paths from the root of the project. */
function filesIn(folder: string, name: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && name.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length))
    .sort()
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

/** A document without its code blocks, where brackets and hashes mean other things. */
function prose(text: string): string {
  return text.replace(/^```.*?^```$/gms, '')
}

/** Anchors of the headings, as code hosts make them; a repeated heading gets a number. */
function anchors(text: string): Set<string> {
  const found = new Set<string>()
  for (const [, heading = ''] of prose(text).matchAll(/^#{1,6} (.+)$/gm)) {
    const plain = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-')
    let anchor = plain
    for (let n = 1; found.has(anchor); n++) anchor = `${plain}-${n}`
    found.add(anchor)
  }
  return found
}

/** Targets of the links of a document that lead to files of the project. */
function links(text: string): string[] {
  return [...prose(text).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
}

/** Links of a document that lead nowhere. */
function brokenLinks(file: string, text: string): string[] {
  return links(text).filter((target) => {
    const [path = '', anchor] = target.split('#')
    const aim = path === '' ? file : normalize(join(dirname(file), path))
    if (!existsSync(join(ROOT, aim))) return true
    if (anchor === undefined) return false
    return !anchors(path === '' ? text : read(aim)).has(anchor)
  })
}

/** Cells of the table rows of a document whose first cell is a name in backticks. */
function rows(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.slice(2, -2).split(' | '))
}

/** The part of a document under one heading. */
function section(text: string, heading: string): string {
  const from = text.indexOf(`\n## ${heading}\n`)
  expect(from, `the section '${heading}'`).toBeGreaterThan(0)
  const to = text.indexOf('\n## ', from + 1)
  return text.slice(from, to < 0 ? undefined : to)
}

/** What must stand in no source and no document: places of one machine, and work left undone. */
const UNWANTED = /\/(?:work|tmp|root|home)\/|\/Users\/|[A-Z]:\\|\b(?:TODO|FIXME|XXX)\b/

describe('links', () => {
  it.each(DOCUMENTS)('of %s lead to files and headings that exist', (file) => {
    expect(brokenLinks(file, read(file))).toEqual([])
  })

  it('that lead nowhere are found', () => {
    const text = [
      '# One heading\n[good](#one-heading) [bad](#another) [bad](docs/no.md)',
      '[good](docs/mapping.md#the-escape) [bad](docs/mapping.md#the-escapes)',
      '```\n[code](nowhere.md)\n```\n[far](https://example.org/)',
    ].join('\n')
    expect(brokenLinks('README.md', text)).toEqual([
      '#another',
      'docs/no.md',
      'docs/mapping.md#the-escapes',
    ])
  })

  it('lead from the README to every document', () => {
    const reached = new Set(['README.md'])
    for (const file of reached) {
      if (!file.endsWith('.md')) continue
      for (const target of links(read(file))) {
        const [path = ''] = target.split('#')
        if (path !== '') reached.add(normalize(join(dirname(file), path)))
      }
    }
    expect(DOCUMENTS.filter((file) => !reached.has(file))).toEqual([])
  })
})

describe('README.md', () => {
  const text = read('README.md')

  it('has at most 250 lines', () => {
    expect(text.split('\n').length).toBeLessThanOrEqual(251)
  })

  it.each(['npm ci && npm start', 'npm ci && npm test', '.ci/run'])(
    'says `%s` on a line of its own',
    (line) => {
      expect(text.split('\n')).toContain(line)
    },
  )
})

describe('docs/delivery.md', () => {
  it('explains each reason for a drop and none besides', () => {
    const table = rows(section(read('docs/delivery.md'), 'Why messages are dropped'))
    const reasons = table.map(([name = '']) => name.replaceAll('`', ''))
    expect(reasons.toSorted()).toEqual([...DROP_REASONS].sort())
  })
})

describe('docs/dependencies.md', () => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>
  const text = read('docs/dependencies.md')

  it.each([
    ['dependencies', 'At run time'],
    ['devDependencies', 'For development'],
  ])('has a row with the version for each of the %s and none besides', (kind, heading) => {
    const listed = rows(section(text, heading)).map(([name = '', version]) => [
      name.replaceAll('`', ''),
      version,
    ])
    expect(Object.fromEntries(listed)).toEqual(manifest[kind])
  })

  it('gives a reason in each row', () => {
    for (const row of rows(text)) expect(row.at(-1)).toMatch(/\w{4}/)
  })
})

describe('what documents name', () => {
  it('are scripts that package.json has', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
    const named = DOCUMENTS.flatMap((file) => [...read(file).matchAll(/npm run ([\w:]+)/g)])
    expect(named.length).toBeGreaterThan(5)
    for (const [, script] of named) expect(Object.keys(scripts)).toContain(script)
  })

  it('are source files that exist', () => {
    const named = [
      ...read('docs/architecture.md').matchAll(/`(?:src\/)?([\w-]+(?:\/[\w-]+)*\.ts)`/g),
    ]
    const files = named.map(([, file = '']) => file).filter((file) => !file.startsWith('test/'))
    expect(files.length).toBeGreaterThan(30)
    expect(files.filter((file) => !existsSync(join(ROOT, 'src', file)))).toEqual([])
  })
})

describe('sources and documents', () => {
  const files = [
    ...DOCUMENTS,
    ...filesIn('src', /\.ts$/),
    ...filesIn('config', /\.(?:yaml|json)$/),
    ...filesIn('.ci', /./),
  ]

  it('name no places of one machine and no work left undone', () => {
    expect(files.length).toBeGreaterThan(100)
    const found = files.flatMap((file) =>
      read(file)
        .split('\n')
        .flatMap((line, at) => (UNWANTED.test(line) ? [`${file}:${at + 1}: ${line.trim()}`] : [])),
    )
    expect(found).toEqual([])
  })

  it.each(['// TODO: later', "'/tmp/servers'", '/home/ann/x', 'C:\\bridge'])(
    'would be caught with %s',
    (line) => {
      expect(line).toMatch(UNWANTED)
    },
  )
})
