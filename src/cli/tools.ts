import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, chmod, constants, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { BridgeError } from '../core/errors.ts'

/** The version fetched when no usable nats-server is at hand. */
export const NATS_SERVER_VERSION = '2.12.3'

/** The oldest nats-server that is used: multi-filter consumers came with 2.10. */
export const OLDEST_NATS_SERVER = '2.10.0'

/** How a tool is looked for. */
export interface ToolOptions {
  /** The environment: `PATH`, `MQTTNATS_TOOLS`, `XDG_CACHE_HOME`, and what Go needs. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Told what was found, passed over or fetched, one line each. */
  readonly log?: (line: string) => void
  /** Version to fetch, `2.12.3` unless given. */
  readonly version?: string
  /** Take no other version than `version`, not even a newer one from `PATH`. */
  readonly exact?: boolean
}

/** Folder where fetched tools are kept, outside any checkout: `MQTTNATS_TOOLS` or a folder of the user's cache. */
export function toolCache(env: ToolOptions['env']): string {
  if (env['MQTTNATS_TOOLS']) return env['MQTTNATS_TOOLS']
  const caches = env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache')
  return join(caches, 'mqtt-nats-bridge')
}

/**
 * Finds a nats-server, or gets one: from `PATH`, from the tool cache, built with Go, downloaded from
 * the project's releases. Resolves to its path. Throws `BridgeError` TOOL_MISSING when all of that fails.
 */
export async function findNatsServer(options: ToolOptions): Promise<string> {
  const version = options.version ?? NATS_SERVER_VERSION
  const log = options.log ?? (() => undefined)
  const onPath = await findOnPath('nats-server', options.env['PATH'] ?? '')
  if (onPath !== undefined && (await fits(onPath, options, version, log))) return onPath

  const cache = toolCache(options.env)
  const cached = join(cache, `nats-server-${version}`)
  if ((await versionOf(cached)) === version) return cached

  const failures: string[] = []
  for (const [way, fetchInto] of FETCHERS) {
    try {
      log(`fetching nats-server ${version} (${way}) into '${cache}'`)
      await install(cache, cached, (folder) => fetchInto(folder, version, options.env))
      return cached
    } catch (error) {
      failures.push(`${way}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  throw new BridgeError(`finding nats-server ${version}: ${failures.join('; ')}`, {
    code: 'TOOL_MISSING',
  })
}

/** Path of an executable file of that name in the folders of `path`, or undefined. */
export async function findOnPath(name: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter)) {
    if (folder === '') continue
    const candidate = join(folder, name)
    try {
      await access(candidate, constants.X_OK)
      return candidate
    } catch {
      // Not in this folder: the next one may have it.
    }
  }
  return undefined
}

/** True when dotted version `a` is `b` or newer; only numbers count, `v2.11.0-RC.1` reads as 2.11.0. */
export function atLeast(a: string, b: string): boolean {
  const left = numbers(a)
  const right = numbers(b)
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return true
}

function numbers(version: string): number[] {
  const plain = version.replace(/^v/, '').replace(/[-+].*$/, '')
  return plain.split('.').map((part) => Number.parseInt(part, 10) || 0)
}

async function fits(
  file: string,
  options: ToolOptions,
  wanted: string,
  log: (line: string) => void,
): Promise<boolean> {
  const found = await versionOf(file)
  const good =
    found !== undefined &&
    (options.exact === true ? found === wanted : atLeast(found, OLDEST_NATS_SERVER))
  if (good) return true
  const need = options.exact === true ? wanted : `${OLDEST_NATS_SERVER} or newer`
  log(`passing over '${file}': version ${found ?? 'unknown'}, needed is ${need}`)
  return false
}

/** What `nats-server --version` says (`nats-server: v2.12.3` → `2.12.3`); undefined when it does not run. */
async function versionOf(file: string): Promise<string | undefined> {
  try {
    const said = await run(file, ['--version'], {})
    return /v(\d+\.\d+\.\d+\S*)/.exec(said)?.[1]
  } catch {
    return undefined
  }
}

/** Puts a nats-server into the folder and resolves to its path there. */
type Fetcher = (folder: string, version: string, env: ToolOptions['env']) => Promise<string>

const FETCHERS: readonly (readonly [string, Fetcher])[] = [
  ['go install', buildWithGo],
  ['download', download],
]

/**
 * Lets `make` work in a folder of its own and moves the result into place with one rename, so that
 * two processes doing the same never see half a file; the later one replaces an equal file.
 */
async function install(
  cache: string,
  target: string,
  make: (folder: string) => Promise<string>,
): Promise<void> {
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, 'fetching-'))
  try {
    const made = await make(folder)
    await chmod(made, 0o755)
    if ((await versionOf(made)) === undefined) throw new Error('the fetched program does not run')
    await rename(made, target)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function buildWithGo(
  folder: string,
  version: string,
  env: ToolOptions['env'],
): Promise<string> {
  const go = await findOnPath('go', env['PATH'] ?? '')
  if (go === undefined) throw new Error('no go on PATH')
  await run(go, ['install', `github.com/nats-io/nats-server/v2@v${version}`], {
    cwd: folder,
    env: { ...env, GOBIN: folder, CGO_ENABLED: '0' },
  })
  return join(folder, 'nats-server')
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

/**
 * Takes the archive of the release and believes it only when its SHA-256 stands in the release's
 * SHA256SUMS. Names and places are those of the releases of nats-io/nats-server; the tests feed it
 * an archive of their own through a replaced `fetch` and never reach the real place.
 */
async function download(folder: string, version: string): Promise<string> {
  const name = `nats-server-v${version}-${process.platform}-${ARCHITECTURES[process.arch] ?? process.arch}`
  const release = `https://github.com/nats-io/nats-server/releases/download/v${version}`
  const [archive, sums] = await Promise.all([
    fetchBytes(`${release}/${name}.tar.gz`),
    fetchBytes(`${release}/SHA256SUMS`),
  ])
  checkSum(archive, `${name}.tar.gz`, sums.toString('utf8'))
  const file = join(folder, 'archive.tar.gz')
  await writeFile(file, archive)
  await run('tar', ['-xzf', file, '-C', folder, '--strip-components=1', `${name}/nats-server`], {})
  return join(folder, 'nats-server')
}

async function fetchBytes(url: string): Promise<Buffer> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(120_000) })
  if (!answer.ok) throw new Error(`HTTP ${answer.status} for '${url}'`)
  return Buffer.from(await answer.arrayBuffer())
}

/** Throws unless `sums` (lines of `hash  file`) has the SHA-256 of these bytes under this name. */
export function checkSum(bytes: Uint8Array, name: string, sums: string): void {
  const hash = createHash('sha256').update(bytes).digest('hex')
  for (const line of sums.split('\n')) {
    const [listed, file] = line.trim().split(/\s+\*?/)
    if (file === name && listed?.toLowerCase() === hash) return
  }
  throw new Error(`SHA-256 of '${name}' does not match the published one`)
}

/** Runs a program to its end; resolves to its standard output, rejects with the end of its standard error. */
function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: ToolOptions['env'] },
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { ...options, maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(stderr.trim().slice(-500) || error.message, { cause: error }))
    })
  })
}
