import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'
import { tempFolder } from './support/temp.ts'

/** Which part of the program may know which other part. Node's own modules are open to all. */
interface Rule {
  /** The one question this part answers, or the one thing it does. */
  readonly reason: string
  /** Rooms it may import besides itself. */
  readonly rooms: readonly string[]
  /** Packages it may import. */
  readonly packages: readonly string[]
  /** Files directly in src/ it may import. */
  readonly files?: readonly string[]
}

/**
 * The import table: a star. `core/` is the floor and imports nothing; every room stands on `core/`
 * and on packages of its own, and knows no other room; the files of the roof join them.
 */
const ROOMS: Readonly<Record<string, Rule>> = {
  core: {
    reason: 'the words everyone speaks: messages, ports, errors, configuration types',
    rooms: [],
    packages: [],
  },
  mapping: {
    reason: 'where does a message go?',
    rooms: ['core'],
    packages: [],
  },
  delivery: {
    reason: 'is it there yet?',
    rooms: ['core'],
    packages: [],
  },
  mqtt: {
    reason: 'speak MQTT: session, messages, embedded broker',
    rooms: ['core'],
    packages: ['mqtt', 'mqtt-packet', 'aedes', 'ws'],
  },
  nats: {
    reason: 'speak NATS: session, messages, streams, credentials',
    rooms: ['core'],
    packages: ['nats', 'nkeys.js'],
  },
  admin: {
    reason: "the operator's work: JWTs, accounts, health, streams, backup",
    rooms: ['core'],
    packages: ['@nats-io/jwt', 'nkeys.js'],
  },
  config: {
    reason: 'file, environment and flags become one checked, frozen object',
    rooms: ['core'],
    packages: ['convict', 'yaml'],
  },
  ops: {
    reason: 'let people watch it: logs, metrics, health, status',
    rooms: ['core'],
    packages: ['pino', 'prom-client'],
  },
  cli: {
    reason:
      'commands: argv in, text and exit code out; what they act on is passed in by commands.ts',
    rooms: ['core'],
    packages: ['commander', 'yaml'],
  },
}

/** The files directly in src/; there are no others. */
const ROOF: Readonly<Record<string, Rule>> = {
  'bridge.ts': {
    reason:
      'builds the parts that carry messages and joins them: the path from one side to the other',
    rooms: ['core', 'mapping', 'delivery', 'mqtt', 'nats', 'admin', 'ops'],
    packages: [],
  },
  'preview.ts': {
    reason: 'what a configuration will do: the plan of each route, and explain; starts nothing',
    rooms: ['core', 'config', 'mapping', 'cli'],
    packages: [],
  },
  'announce.ts': {
    reason: 'what is said at the start: what runs, and what deserves a warning',
    rooms: ['core'],
    packages: [],
    files: ['preview.ts'],
  },
  'doctor.ts': {
    reason: 'visits both sides and judges what they offer: check --connect',
    rooms: ['core', 'config', 'mapping', 'mqtt', 'nats', 'cli'],
    packages: [],
    files: ['announce.ts'],
  },
  'daemon.ts': {
    reason: 'the bridge as a service: its log, its pages, its files watched, its end',
    rooms: ['core', 'config', 'mapping', 'ops'],
    packages: [],
    files: ['bridge.ts', 'announce.ts'],
  },
  'commands.ts': {
    reason: 'what each command does; hands the rooms to cli/, which knows none of them',
    rooms: ['core', 'config', 'mqtt', 'cli'],
    packages: [],
    files: ['daemon.ts', 'doctor.ts', 'preview.ts'],
  },
  'main.ts': {
    reason: 'the process: arguments, environment, signals, exit code; nobody imports it',
    rooms: ['core', 'config', 'cli'],
    packages: [],
    files: ['commands.ts'],
  },
}

/** Who may touch which part of `process`; the rest of it (nextTick, memoryUsage, …) is open to all. */
const PROCESS: Readonly<Record<string, readonly string[]>> = {
  env: ['main.ts', 'config/load.ts'],
  argv: ['main.ts'],
  exit: ['main.ts'],
  exitCode: ['main.ts'],
  kill: ['main.ts'],
  on: ['main.ts'],
  once: ['main.ts'],
}

const SRC = join(import.meta.dirname, '../src')

const IMPORTS = [
  /^import\s+(?:type\s+)?[\w\s{},*$]+?\s+from\s+'([^']+)'/gm,
  /^import\s+'([^']+)'/gm,
  /^export\s+(?:type\s+)?(?:\{[^}]*\}|\*(?:\s+as\s+\w+)?)\s+from\s+'([^']+)'/gm,
  /\bimport\(\s*'([^']+)'/g,
]

/** Every breach of the tables in a source tree, one sentence each; paths are relative to the tree. */
function breaches(root: string): string[] {
  const files = sourcesIn(root)
  const graph = new Map<string, string[]>()
  const found: string[] = []
  for (const file of files) {
    const text = readFileSync(join(root, file), 'utf8')
    const imports = importsOf(text)
    const inside = imports.filter((i) => i.startsWith('.')).map((i) => resolve(file, i))
    graph.set(file, inside)
    found.push(...breachesOf(file, imports), ...processBreaches(file, text))
    if (/\bimport\(\s*[^'\s]/.test(text)) found.push(`${file} imports a name made at run time`)
  }
  return [...found, ...cycles(graph)]
}

function sourcesIn(root: string): string[] {
  const entries = readdirSync(root, { recursive: true, encoding: 'utf8' })
  return entries.filter((entry) => entry.endsWith('.ts')).sort()
}

function importsOf(text: string): string[] {
  return IMPORTS.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1] ?? ''))
}

function resolve(file: string, relative: string): string {
  return normalize(join(dirname(file), relative))
}

function breachesOf(file: string, imports: readonly string[]): string[] {
  const room = roomOf(file)
  const rule = room === undefined ? ROOF[file] : ROOMS[room]
  if (rule === undefined) return [`${file} is in no room of the table`]
  return imports.flatMap((name) => {
    if (name.startsWith('node:')) return []
    const allowed = name.startsWith('.')
      ? mayImportFile(rule, room, resolve(file, name))
      : rule.packages.includes(packageOf(name))
    return allowed ? [] : [`${file} must not import ${name}`]
  })
}

function mayImportFile(rule: Rule, room: string | undefined, target: string): boolean {
  const targetRoom = roomOf(target)
  if (targetRoom === undefined) return rule.files?.includes(target) === true
  return targetRoom === room || rule.rooms.includes(targetRoom)
}

/** First folder of a path in the tree; undefined for a file of the roof, and for one outside. */
function roomOf(file: string): string | undefined {
  const slash = file.indexOf('/')
  return slash < 0 ? undefined : file.slice(0, slash)
}

function packageOf(name: string): string {
  const parts = name.split('/')
  return name.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '')
}

function processBreaches(file: string, text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
  const used = new Set([...code.matchAll(/\bprocess\.(\w+)/g)].map((match) => match[1] ?? ''))
  return [...used].flatMap((part) => {
    const owners = PROCESS[part]
    return owners && !owners.includes(file) ? [`${file} must not touch process.${part}`] : []
  })
}

/** One sentence for each import that closes a circle, types included. */
function cycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>()
  const path: string[] = []
  const found: string[] = []
  function visit(file: string): void {
    const at = path.indexOf(file)
    if (at >= 0) found.push(`cycle: ${[...path.slice(at), file].join(' -> ')}`)
    if (at >= 0 || done.has(file)) return
    path.push(file)
    for (const next of graph.get(file) ?? []) visit(next)
    path.pop()
    done.add(file)
  }
  for (const file of graph.keys()) visit(file)
  return found
}

describe('the source tree', () => {
  it('keeps to the import table, without cycles', () => {
    expect(breaches(SRC)).toEqual([])
  })

  it('is seen by the checker', () => {
    const texts = sourcesIn(SRC).map((file) => readFileSync(join(SRC, file), 'utf8'))
    expect(texts.flatMap(importsOf)).toEqual(expect.arrayContaining(['mqtt', 'pino', 'yaml']))
  })
})

describe('the checker', () => {
  const planted: readonly (readonly [string, Readonly<Record<string, string>>, string])[] = [
    [
      'a room that imports another room',
      { 'mqtt/a.ts': "import { b } from '../nats/b.ts'\n", 'nats/b.ts': 'export const b = 1\n' },
      'mqtt/a.ts must not import ../nats/b.ts',
    ],
    [
      'a floor that imports a room, if only a type over several lines',
      {
        'core/a.ts': "import type {\n  A,\n  B,\n} from '../config/b.ts'\n",
        'config/b.ts': 'export type A = 1\nexport type B = 2\n',
      },
      'core/a.ts must not import ../config/b.ts',
    ],
    [
      'a package of another room',
      { 'delivery/a.ts': "import { connect } from 'nats/lib/x.js'\n" },
      'delivery/a.ts must not import nats/lib/x.js',
    ],
    [
      'a scoped package nobody owns',
      { 'admin/a.ts': "export { x } from '@nats-io/other'\n" },
      'admin/a.ts must not import @nats-io/other',
    ],
    [
      'an import for its side effect',
      { 'core/a.ts': "import 'pino'\n" },
      'core/a.ts must not import pino',
    ],
    [
      'an import at run time',
      { 'core/a.ts': "const x = await import('mqtt')\n" },
      'core/a.ts must not import mqtt',
    ],
    [
      'an import whose name is made at run time',
      { 'ops/a.ts': 'const x = await import(name)\n' },
      'ops/a.ts imports a name made at run time',
    ],
    [
      'a room that imports the roof',
      { 'ops/a.ts': "import { b } from '../bridge.ts'\n", 'bridge.ts': 'export const b = 1\n' },
      'ops/a.ts must not import ../bridge.ts',
    ],
    [
      'an import from outside the sources',
      { 'core/a.ts': "import { b } from '../../test/support/b.ts'\n" },
      'core/a.ts must not import ../../test/support/b.ts',
    ],
    ['a room without a rule', { 'utils/a.ts': '' }, 'utils/a.ts is in no room of the table'],
    [
      'a file of the roof without a rule',
      { 'index.ts': '' },
      'index.ts is in no room of the table',
    ],
    [
      'the process touched by a room',
      { 'cli/a.ts': 'export const x = () => process.exit(1)\n' },
      'cli/a.ts must not touch process.exit',
    ],
    [
      'a cycle made of types',
      {
        'mqtt/a.ts': "import type { B } from './b.ts'\nexport type A = B\n",
        'mqtt/b.ts': "import type { A } from './a.ts'\nexport type B = A\n",
      },
      'cycle: mqtt/a.ts -> mqtt/b.ts -> mqtt/a.ts',
    ],
  ]

  it.each(planted)('finds %s', async (_, files, sentence) => {
    await using folder = await plant(files)
    expect(breaches(folder.path)).toEqual([sentence])
  })

  it('is content with a tree that keeps to the table', async () => {
    await using folder = await plant({
      'core/a.ts': "import { join } from 'node:path'\nexport const a = join\n",
      'nats/b.ts': "import { connect } from 'nats'\nimport { a } from '../core/a.ts'\n",
      'bridge.ts': "import { b } from './nats/b.ts'\n// process.exit is for main.ts\n",
      'main.ts': "import { run } from './commands.ts'\nprocess.exitCode = run()\n",
      'commands.ts': 'export const run = () => 0\n',
    })
    expect(breaches(folder.path)).toEqual([])
  })
})

async function plant(files: Readonly<Record<string, string>>) {
  const folder = await tempFolder()
  for (const [file, text] of Object.entries(files)) {
    await mkdir(join(folder.path, dirname(file)), { recursive: true })
    await writeFile(join(folder.path, file), text)
  }
  return folder
}
