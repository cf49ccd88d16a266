import type { Problem } from '../core/errors.ts'
import { nearest } from './nearest.ts'
import { ENV_OTHERS, ENV_PREFIX, envName, flagName } from './paths.ts'
import { isSetting, SETTING_PATHS, type SettingPath, settingOf } from './schema.ts'
import { leafMistake } from './tree.ts'

const PATH_OF_VARIABLE = new Map<string, SettingPath>(
  SETTING_PATHS.map((path) => [envName(path), path]),
)

/** What variables or flags set, by path, and what is wrong with their names. */
export interface Overrides {
  readonly values: ReadonlyMap<SettingPath, unknown>
  readonly problems: readonly Problem[]
}

/**
 * Picks the settings out of the environment. A variable that is empty counts as not set; one that Kubernetes
 * makes for a service called `mqttnats…` is not ours.
 */
export function fromEnvironment(env: NodeJS.ProcessEnv): Overrides {
  const values = new Map<SettingPath, unknown>()
  const problems: Problem[] = []
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || !name.startsWith(ENV_PREFIX) || ENV_OTHERS.has(name)) continue
    const path = PATH_OF_VARIABLE.get(name)
    if (path === undefined) {
      if (isServiceLink(name, value)) continue
      problems.push({ path: name, text: unknownVariable(name), source: 'environment' })
    } else if (value !== '') values.set(path, value)
  }
  return { values, problems }
}

/** Picks the settings out of the flags, which are keyed by path. */
export function fromFlags(flags: Readonly<Record<string, unknown>>): Overrides {
  const values = new Map<SettingPath, unknown>()
  const problems: Problem[] = []
  for (const [path, value] of Object.entries(flags)) {
    if (value === undefined || value === null) continue
    if (isSetting(path)) {
      const wrong = leafMistake(settingOf(path).format.syntax, value)
      if (wrong === undefined) values.set(path, value)
      else problems.push({ path, text: wrong, source: flagName(path) })
    } else {
      const guess = nearest(path, SETTING_PATHS)
      const hint = guess === undefined ? 'see docs/configuration.md' : `did you mean ${guess}?`
      problems.push({ path, text: `is not a setting; ${hint}`, source: flagName(path) })
    }
  }
  return { values, problems }
}

function unknownVariable(name: string): string {
  const guess = nearest(name.slice(ENV_PREFIX.length), bareNames())
  return guess === undefined
    ? `is not a setting; a variable is called ${ENV_PREFIX} and the path, such as ${envName('mqtt.url')}`
    : `is not a setting; did you mean ${ENV_PREFIX}${guess}?`
}

function bareNames(): string[] {
  return [...PATH_OF_VARIABLE.keys()].map((name) => name.slice(ENV_PREFIX.length))
}

function isServiceLink(name: string, value: string): boolean {
  const isLink = /_PORT(_[0-9]+_[A-Z]+)?$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value)
  return (
    isLink || /_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_[A-Z]+_(PROTO|PORT|ADDR))$/.test(name)
  )
}
