import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parseText } from '../../../src/config/document.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { formatProblems, problemsOf } from '../../../src/config/problems.ts'
import { configReference } from '../../../src/config/reference.ts'
import { ROUTE_SETTINGS } from '../../../src/config/route-settings.ts'
import { SETTING_PATHS } from '../../../src/config/schema.ts'
import { configJsonSchema } from '../../../src/config/schema-json.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const golden = join(root, 'test/golden/config')

/** Compares a file with what it is generated from; UPDATE_GENERATED=1 writes it instead. */
function expectFile(path: string, text: string): void {
  if (process.env['UPDATE_GENERATED'] === '1') writeFileSync(path, text)
  expect(readFileSync(path, 'utf8')).toBe(text)
}

describe('generated files', () => {
  it('config/schema.json is what the definition says', () => {
    const text = `${JSON.stringify(configJsonSchema(), null, 2)}\n`
    expectFile(join(root, 'config/schema.json'), text)
  })

  it('docs/configuration.md is what the definition says, with every setting', () => {
    const text = configReference()
    for (const path of SETTING_PATHS) expect(text).toContain(`\`${path}\``)
    expectFile(join(root, 'docs/configuration.md'), text)
  })

  it('the schema names what exists, refuses the rest, and has every pattern valid', () => {
    const patterns: string[] = []
    const walk = (node: unknown): void => {
      if (typeof node !== 'object' || node === null) return
      const { type, properties, pattern } = node as Record<string, unknown>
      if (type === 'object' && properties)
        expect(node).toHaveProperty('additionalProperties', false)
      if (typeof pattern === 'string') patterns.push(pattern)
      for (const inner of Object.values(node)) walk(inner)
    }
    walk(configJsonSchema())
    expect(JSON.stringify(configJsonSchema())).not.toContain('undefined')
    expect(patterns.length).toBeGreaterThan(5)
    for (const pattern of patterns) expect(() => new RegExp(pattern, 'u')).not.toThrow()
  })
})

describe('examples', () => {
  const examples = readdirSync(join(root, 'config')).filter((name) => name.endsWith('.yaml'))

  it('are there', () => {
    expect(examples).toEqual(
      expect.arrayContaining(['embedded.yaml', 'example.yaml', 'reference.yaml', 'runbook.yaml']),
    )
  })

  it.each(examples)('config/%s loads', (name) => {
    const { config } = loadConfig({ file: join(root, 'config', name), env: {} })
    expect(config.routes.length).toBeGreaterThan(0)
  })

  it('the runbook holds what its prose says', () => {
    const { config } = loadConfig({ file: join(root, 'config/runbook.yaml'), env: {} })
    expect(config.nats.tls?.handshakeFirst).toBe(true)
    expect(Object.keys(config.nats.auth)).toEqual(['jwt'])
    expect(config.routes[0]).toMatchObject({ pattern: '#', mqttPrefix: 'mqtt/', direction: 'both' })
  })

  it('the reference names every setting', () => {
    const text = readFileSync(join(root, 'config/reference.yaml'), 'utf8')
    const { lines } = parseText(text, 'reference.yaml')
    const commented = new Set([...text.matchAll(/^ *# (\w+): /gm)].map((match) => match[1]))
    const alone = [...(/inline: (.*)\.$/m.exec(text)?.[1] ?? '').matchAll(/\w+/g)].map(String)
    const isNamed = (path: string) => {
      const name = path.split('.').at(-1) ?? ''
      return lines.has(path) || commented.has(name) || alone.includes(name)
    }
    expect(SETTING_PATHS.filter((path) => !isNamed(path))).toEqual([])
    expect(Object.keys(ROUTE_SETTINGS).filter((key) => !lines.has(`routes[0].${key}`))).toEqual([])
  })
})

describe('reports', () => {
  const cases = readdirSync(golden).filter((name) => name.endsWith('.yaml'))

  function reportOf(file: string): string {
    try {
      loadConfig({ file, env: {}, cwd: golden })
    } catch (error) {
      return formatProblems(problemsOf(error))
    }
    return ''
  }

  it.each(cases)('%s is reported whole, without its secrets', (name) => {
    const report = reportOf(name)
    expect(report).not.toMatch(/canary-(secret|user|key|token|alias|tag|auth|section|tls)/)
    expectFile(join(golden, name.replace('.yaml', '.expected.txt')), report)
  })

  it('more than fifteen mistakes come in one report', () => {
    expect(reportOf('many-mistakes.yaml')).toMatch(/^29 problems in the configuration/)
  })
})
