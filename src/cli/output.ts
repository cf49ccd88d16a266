import { stringify } from 'yaml'

/** Forms in which a command prints its result. */
export const OUTPUTS = ['text', 'json', 'yaml'] as const
export type Output = (typeof OUTPUTS)[number]

/** The result as it is printed, with its line break. `text` is only called for people. */
export function render(value: unknown, output: Output, text: () => string): string {
  if (output === 'json') return `${JSON.stringify(value, null, 2)}\n`
  return output === 'yaml' ? toYaml(value) : text()
}

/** YAML without anchors and without folded lines. */
export function toYaml(value: unknown): string {
  return stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 })
}
