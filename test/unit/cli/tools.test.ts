import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { atLeast, checkSum, findNatsServer, findOnPath, toolCache } from '../../../src/cli/tools.ts'
import { BridgeError } from '../../../src/core/errors.ts'
import { runProgram } from '../../support/child.ts'
import { tempFolder } from '../../support/temp.ts'

/** A folder with programs that answer `--version`, and one to cache in. */
async function scene(programs: Readonly<Record<string, string>>) {
  const folder = await tempFolder()
  const [bin, cache] = [join(folder.path, 'bin'), join(folder.path, 'cache')]
  await mkdir(bin)
  for (const [name, text] of Object.entries(programs)) await program(join(bin, name), text)
  const lines: string[] = []
  return {
    ...folder,
    bin,
    cache,
    lines,
    options: { env: { PATH: bin, MQTTNATS_TOOLS: cache }, log: (line: string) => lines.push(line) },
  }
}

async function program(file: string, text: string): Promise<void> {
  await writeFile(file, `#!/bin/sh\n${text}\n`)
  await chmod(file, 0o755)
}

const server = (version: string) => `echo 'nats-server: v${version}'`

/** Stands in for Go: puts a server of the version asked for into GOBIN. */
const GO = `version="\${2##*@v}"
printf '#!/bin/sh\\necho nats-server: v%s\\n' "$version" > "$GOBIN/nats-server"`

describe('finding nats-server', () => {
  it('takes the one on PATH when it is new enough', async () => {
    await using s = await scene({ 'nats-server': server('2.10.0') })
    expect(await findNatsServer(s.options)).toBe(join(s.bin, 'nats-server'))
    expect(s.lines).toEqual([])
  })

  it('passes over an old one on PATH, says so, and takes the one in the cache', async () => {
    await using s = await scene({ 'nats-server': server('2.9.10') })
    await mkdir(s.cache)
    await program(join(s.cache, 'nats-server-2.12.3'), server('2.12.3'))
    expect(await findNatsServer(s.options)).toBe(join(s.cache, 'nats-server-2.12.3'))
    expect(s.lines).toEqual([
      `passing over '${join(s.bin, 'nats-server')}': version 2.9.10, needed is 2.10.0 or newer`,
    ])
  })

  it('passes over a newer one on PATH when the exact version is asked for', async () => {
    await using s = await scene({ 'nats-server': server('2.15.1'), go: GO })
    const options = { ...s.options, version: '2.12.3', exact: true }
    expect(await findNatsServer(options)).toBe(join(s.cache, 'nats-server-2.12.3'))
    expect(s.lines[0]).toContain('version 2.15.1, needed is 2.12.3')
  })

  it('builds one with Go when there is none, and leaves nothing else in the cache', async () => {
    await using s = await scene({ go: GO })
    const found = await findNatsServer({ ...s.options, version: '2.11.4' })
    expect(found).toBe(join(s.cache, 'nats-server-2.11.4'))
    expect(await readdir(s.cache)).toEqual(['nats-server-2.11.4'])
    expect(s.lines).toEqual([`fetching nats-server 2.11.4 (go install) into '${s.cache}'`])
  })

  it('does not mind several lookups at once', async () => {
    await using s = await scene({ go: GO })
    const found = await Promise.all(Array.from({ length: 5 }, () => findNatsServer(s.options)))
    expect(new Set(found)).toEqual(new Set([join(s.cache, 'nats-server-2.12.3')]))
    expect(await readdir(s.cache)).toEqual(['nats-server-2.12.3'])
  })

  it('builds again when the cached file does not run', async () => {
    await using s = await scene({ go: GO })
    await mkdir(s.cache)
    await program(join(s.cache, 'nats-server-2.12.3'), 'exit 1')
    await findNatsServer(s.options)
    expect(s.lines).toHaveLength(1)
  })
})

/** Answers requests by the last part of their path; 404 for all else. */
function serve(files: Readonly<Record<string, Buffer | string>>): string[] {
  const asked: string[] = []
  vi.stubGlobal('fetch', async (url: string) => {
    asked.push(url)
    const body = files[url.slice(url.lastIndexOf('/') + 1)]
    return new Response(body ?? 'no such file', { status: body === undefined ? 404 : 200 })
  })
  return asked
}

async function release(folder: string): Promise<{ name: string; archive: Buffer }> {
  const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch
  const name = `nats-server-v2.12.3-${process.platform}-${arch}`
  await mkdir(join(folder, name))
  await program(join(folder, name, 'nats-server'), server('2.12.3'))
  await runProgram('tar', ['-czf', join(folder, 'made.tgz'), '-C', folder, name])
  return { name: `${name}.tar.gz`, archive: await readFile(join(folder, 'made.tgz')) }
}

describe('downloading nats-server', () => {
  afterEach(() => vi.unstubAllGlobals())

  it('takes the archive of the release when its hash is the published one', async () => {
    await using s = await scene({})
    const { name, archive } = await release(s.path)
    const hash = createHash('sha256').update(archive).digest('hex')
    const asked = serve({ [name]: archive, SHA256SUMS: `${hash}  ${name}\n` })
    expect(await findNatsServer(s.options)).toBe(join(s.cache, 'nats-server-2.12.3'))
    const place = 'https://github.com/nats-io/nats-server/releases/download/v2.12.3'
    expect(asked).toEqual([`${place}/${name}`, `${place}/SHA256SUMS`])
    expect(await readdir(s.cache)).toEqual(['nats-server-2.12.3'])
  })

  it('refuses an archive with another hash, and says everything that failed', async () => {
    await using s = await scene({})
    const { name, archive } = await release(s.path)
    serve({ [name]: archive, SHA256SUMS: `${'0'.repeat(64)}  ${name}\n` })
    const error = await findNatsServer(s.options).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(BridgeError)
    expect(error).toMatchObject({ code: 'TOOL_MISSING' })
    expect(String(error)).toContain('go install: no go on PATH; download: SHA-256 of')
    expect(await readdir(s.cache)).toEqual([])
  })

  it('says which address did not answer', async () => {
    await using s = await scene({})
    serve({})
    await expect(findNatsServer(s.options)).rejects.toThrow('HTTP 404 for')
  })
})

describe('the tool cache', () => {
  it('is where the environment says, else in the cache folder of the user', () => {
    const home = { HOME: '/home/ann' }
    expect(toolCache(home)).toBe('/home/ann/.cache/mqtt-nats-bridge')
    expect(toolCache({ ...home, XDG_CACHE_HOME: '/c' })).toBe('/c/mqtt-nats-bridge')
    expect(toolCache({ ...home, XDG_CACHE_HOME: '/c', MQTTNATS_TOOLS: '/t' })).toBe('/t')
  })
})

describe('parts of the lookup', () => {
  it('finds executable files only, in the order of PATH', async () => {
    await using s = await scene({ tool: 'exit 0' })
    await writeFile(join(s.path, 'tool'), 'not executable')
    expect(await findOnPath('tool', `${s.path}::${s.bin}`)).toBe(join(s.bin, 'tool'))
    expect(await findOnPath('other', s.bin)).toBeUndefined()
  })

  it.each([
    ['2.10.0', '2.10.0', true],
    ['2.9.22', '2.10.0', false],
    ['2.12.3', '2.10.0', true],
    ['3.0.0', '2.10.0', true],
    ['v2.11.0-RC.1', '2.11.0', true],
    ['2.11', '2.11.1', false],
  ])('compares version %s with %s', (a, b, expected) => {
    expect(atLeast(a, b)).toBe(expected)
  })

  it('believes an archive only under its own name and with its own hash', () => {
    const bytes = Buffer.from('archive')
    const hash = createHash('sha256').update(bytes).digest('hex')
    expect(() => checkSum(bytes, 'a.tgz', `0000  b.tgz\n${hash}  a.tgz\n`)).not.toThrow()
    expect(() => checkSum(bytes, 'a.tgz', `${hash}  b.tgz\n`)).toThrow("'a.tgz'")
    expect(() => checkSum(Buffer.from('other'), 'a.tgz', `${hash}  a.tgz\n`)).toThrow()
    expect(() => checkSum(bytes, 'a.tgz', '')).toThrow()
  })
})
