import { dirname, resolve as resolvePath } from 'node:path'
import process from 'node:process'
import type { BridgeConfig, RouteConfig } from '../core/config.ts'
import type { Problem } from '../core/errors.ts'
import { type Checks, checkCredentials, type Resolve } from './auth.ts'
import { buildConfig, checkTls } from './build.ts'
import { type FileDocument, readDocument } from './document.ts'
import { fromEnvironment, fromFlags } from './environment.ts'
import { mergeLayers } from './layers.ts'
import { ENV_CONFIG_FILE } from './paths.ts'
import { invalidConfig, sortProblems } from './problems.ts'
import { SETTING_PATHS, type Values } from './schema.ts'
import { Sources } from './sources.ts'
import { sortTree } from './tree.ts'

/** What a configuration is read from. */
export interface ConfigInput {
  /** Path of the YAML or JSON file; without one `MQTTNATS_CONFIG` of the environment names it, or there is none. */
  readonly file?: string
  /** Settings by path (`log.level`), as text. */
  readonly flags?: Readonly<Record<string, unknown>>
  readonly env: NodeJS.ProcessEnv
  /** Mistakes in routes that are well written, such as a prefix that cannot go with the pattern. */
  readonly checkRoutes?: (
    routes: readonly RouteConfig[],
  ) => readonly Pick<Problem, 'path' | 'text'>[]
  /** Folder that relative paths count from; that of the process unless told. */
  readonly cwd?: string
}

/** A configuration and where it came from. */
export interface LoadedConfig {
  /** Frozen, all the way down. */
  readonly config: BridgeConfig
  /** Absolute path of the file that was read. */
  readonly file?: string
  /** Where each setting came from: `bridge.yaml:12`, `MQTTNATS_MQTT_URL`, `--log-level` or `default`. */
  readonly sources: readonly { readonly path: string; readonly source: string }[]
  /** The same for any place, also inside a setting (`routes[1].pattern`), for problems that others find. */
  readonly sourceOf: (path: string) => string
}

const NO_FILE: FileDocument = { root: undefined, lines: new Map(), problems: [] }

/**
 * Reads the configuration: defaults, over them the file, over that the environment, over that the flags.
 * Throws `BridgeError` CONFIG_UNREADABLE when the file cannot be read, CONFIG_INVALID with all problems at
 * once (`problemsOf`) when anything in it is wrong. No mistake shows a secret.
 */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const cwd = input.cwd ?? process.cwd()
  const name = input.file ?? (input.env[ENV_CONFIG_FILE] || undefined)
  const file = name === undefined ? undefined : resolvePath(cwd, name)
  const document = name === undefined || file === undefined ? NO_FILE : readDocument(file, name)
  const sorted = sortTree(document.root)
  const environment = fromEnvironment(input.env)
  const flags = fromFlags(input.flags ?? {})
  const sources = new Sources(
    name ?? '',
    document.lines,
    sorted.present,
    new Set(environment.values.keys()),
    new Set(flags.values.keys()),
  )
  const problems: Problem[] = [...document.problems, ...environment.problems, ...flags.problems]
  for (const { path, text } of sorted.mistakes) {
    problems.push({ path, text, source: sources.inFile(path) })
  }
  const merged = mergeLayers({
    file: sorted.tree,
    environment: environment.values,
    flags: flags.values,
  })
  for (const { path, at, text } of merged.mistakes) {
    problems.push({ path: path + at, text, source: sources.of(path + at) })
  }
  const checks: Checks = {
    values: merged.values,
    isSet: (path) => sources.layerOf(path) !== 'default',
    sourceOf: (path) => sources.of(path),
    report: (path, text) => problems.push({ path, text, source: sources.of(path) }),
  }
  checkCredentials(checks)
  checkTls(checks)
  checkRoutes(checks, input)
  if (problems.length > 0) throw invalidConfig(sortProblems(problems))

  const fileFolder = file === undefined ? cwd : dirname(file)
  const resolve: Resolve = (path, value) =>
    resolvePath(sources.layerOf(path) === 'file' ? fileFolder : cwd, value)
  const hasNatsTls =
    sorted.present.has('nats.tls') ||
    SETTING_PATHS.some((path) => path.startsWith('nats.tls.') && checks.isSet(path))
  return {
    config: deepFreeze(buildConfig(merged.values as Values, hasNatsTls, resolve)),
    ...(file === undefined ? {} : { file }),
    sources: SETTING_PATHS.map((path) => ({ path, source: sources.of(path) })),
    sourceOf: (path) => sources.of(path),
  }
}

function checkRoutes({ values, report }: Checks, input: ConfigInput): void {
  if (values.routes === undefined) return
  for (const { path, text } of input.checkRoutes?.(values.routes) ?? []) report(path, text)
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}
