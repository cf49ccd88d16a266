import { show } from './formats.ts'
import { joinPath } from './paths.ts'
import { isSetting, namesIn, SECTIONS, SETTING_PATHS, settingOf } from './schema.ts'
import { unknownKey } from './unknown-keys.ts'

/** A tree of settings as a file nests them. */
export interface Tree {
  [key: string]: unknown
}

/** What a file sets, with everything that is no setting taken out. */
export interface SortedTree {
  /** Known settings only, each where it belongs. */
  readonly tree: Tree
  /** Paths of settings and sections that are present. */
  readonly present: ReadonlySet<string>
  readonly mistakes: readonly { readonly path: string; readonly text: string }[]
}

const ALL_PATHS = [...SETTING_PATHS, ...Object.keys(SECTIONS)]

/** Keys that tools put into a file and that mean nothing to the bridge. */
const IGNORED = new Set(['$schema'])

/** Sorts what a file holds into settings and mistakes: unknown keys, sections that are none, empty values. */
export function sortTree(root: unknown): SortedTree {
  const present = new Set<string>()
  const mistakes: { path: string; text: string }[] = []
  if (root === undefined || root === null) return { tree: {}, present, mistakes }
  if (!isSection(root)) {
    const text = `holds ${show(root)}: write sections such as mqtt: and nats:`
    return { tree: {}, present, mistakes: [{ path: '(file)', text }] }
  }
  return { tree: sortSection(root, '', present, mistakes), present, mistakes }
}

function sortSection(
  section: Tree,
  base: string,
  present: Set<string>,
  mistakes: { path: string; text: string }[],
): Tree {
  const sorted: Tree = {}
  for (const key of Object.keys(section)) {
    const path = joinPath(base, key)
    const value = section[key]
    if (isSetting(path)) {
      const wrong = leafMistake(settingOf(path).format.syntax, value)
      present.add(path)
      if (wrong === undefined) sorted[key] = value
      else mistakes.push({ path, text: wrong })
    } else if (Object.hasOwn(SECTIONS, path)) {
      if (value === null) continue
      present.add(path)
      if (isSection(value)) sorted[key] = sortSection(value, path, present, mistakes)
      else mistakes.push({ path, text: noSection(path, value) })
    } else if (base !== '' || !IGNORED.has(key)) {
      const space = { section: base, siblings: namesIn(base), paths: ALL_PATHS }
      mistakes.push({ path, text: unknownKey(key, space) })
    }
  }
  return sorted
}

/** Says of a value that it is none a setting could have, whichever setting it is: nothing, or a section. */
export function leafMistake(syntax: string, value: unknown): string | undefined {
  if (value === null) return `is empty: write ${syntax}, or remove the line`
  return isSection(value) ? `is a section, not a value: write ${syntax}` : undefined
}

/** The value is not repeated: it may be a secret that lost its key. */
function noSection(path: string, value: unknown): string {
  const what = Array.isArray(value) ? 'a list' : 'a value'
  return `is ${what}, not a section: write keys below it: ${namesIn(path).join(', ')}`
}

function isSection(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
