import convict from 'convict'
import { coerce } from './coerce.ts'
import type { FormatName, Mistake } from './formats.ts'
import { envName } from './paths.ts'
import { SETTING_PATHS, type SettingPath, settingOf, type Values } from './schema.ts'
import type { Tree } from './tree.ts'

const FORMAT_NAMES: readonly FormatName[] = [
  ...(['text', 'texts', 'path', 'secret', 'integer', 'boolean', 'choice'] as const),
  ...(['duration', 'size', 'addresses', 'listen', 'startAt', 'routes'] as const),
]

/** The layers of values, lowest first; each holds known settings only. */
export interface Layers {
  readonly file: Tree
  readonly environment: ReadonlyMap<SettingPath, unknown>
  readonly flags: ReadonlyMap<SettingPath, unknown>
}

/** What came out of the layers: the values that are right, the mistakes of the others. */
export interface Merged {
  readonly values: Partial<Values>
  readonly mistakes: readonly (Mistake & { readonly path: SettingPath })[]
}

/** What is put beside each leaf of the schema, for the formats to find. */
interface Leaf {
  readonly check: (value: unknown) => void
}

for (const name of FORMAT_NAMES) {
  convict.addFormat({
    name,
    // Never throws: convict would put the value, which may be secret, into its own message.
    validate: (value: unknown, leaf: convict.SchemaObj & Partial<Leaf>) => leaf.check?.(value),
    coerce: (value: unknown) => coerce(name, String(value)),
  })
}

/** Lays flags over environment over file over defaults and reads every value. */
export function mergeLayers(layers: Layers): Merged {
  const values: Partial<Record<SettingPath, unknown>> = {}
  const mistakes: (Mistake & { path: SettingPath })[] = []
  const check = (path: SettingPath) => (value: unknown) => {
    const parsed = settingOf(path).format.parse(value)
    if (parsed.ok) values[path] = parsed.value
    else mistakes.push(...parsed.mistakes.map((mistake) => ({ ...mistake, path })))
  }
  const env: NodeJS.ProcessEnv = {}
  for (const [path, value] of layers.environment) env[envName(path)] = String(value)
  const config = convict(convictSchema(check), { env, args: [] })
  config.load(layers.file)
  for (const [path, value] of layers.flags) config.set(path, value)
  config.validate({ allowed: 'strict' })
  return { values: values as Partial<Values>, mistakes }
}

function convictSchema(
  check: (path: SettingPath) => (value: unknown) => void,
): convict.Schema<Tree> {
  const root: Tree = {}
  for (const path of SETTING_PATHS) {
    const { format, preset, doc } = settingOf(path)
    let section = root
    for (const name of path.split('.').slice(0, -1)) {
      section[name] ??= {}
      section = section[name] as Tree
    }
    section[path.slice(path.lastIndexOf('.') + 1)] = {
      doc,
      format: format.name,
      default: preset,
      nullable: preset === null,
      env: envName(path),
      sensitive: format.name === 'secret',
      check: check(path),
    }
  }
  return root as convict.Schema<Tree>
}
