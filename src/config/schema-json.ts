import type { Json } from './formats.ts'
import { ROUTE_SETTINGS } from './route-settings.ts'
import { SECTIONS, SETTING_PATHS, settingOf } from './schema.ts'
import type { Setting } from './setting.ts'

/** A JSON Schema under construction. */
interface Node {
  [key: string]: Json | Node
}

/** JSON Schema (2020-12) of the configuration file, for editors and other checkers; shipped as `config/schema.json`. */
export function configJsonSchema(): Readonly<Record<string, unknown>> {
  const root = sectionNode('Configuration of mqtt-nats-bridge.')
  for (const path of SETTING_PATHS) {
    const names = path.split('.')
    let section = root
    names.slice(0, -1).forEach((name, depth) => {
      const properties = section['properties'] as Node
      properties[name] ??= sectionNode(String(SECTIONS[names.slice(0, depth + 1).join('.')]))
      section = properties[name] as Node
    })
    const properties = section['properties'] as Node
    properties[String(names.at(-1))] = settingNode(settingOf(path))
  }
  const top = root['properties'] as Node
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'mqtt-nats-bridge',
    ...root,
    properties: {
      $schema: { type: 'string', description: 'Where this schema is, for editors.' },
      ...top,
    },
    $defs: { route: routeNode() },
  }
}

function routeNode(): Node {
  const route = sectionNode('What crosses, which way and under which name.')
  const properties = route['properties'] as Node
  const required: string[] = []
  for (const [key, setting] of Object.entries<Setting<unknown>>(ROUTE_SETTINGS)) {
    properties[key] = settingNode(setting)
    if (setting.required === true) required.push(key)
  }
  return { ...route, required, dependentSchemas: { ttl: isCommand() } }
}

/** What a route with `ttl` must be. */
function isCommand(): Node {
  return { properties: { class: { const: 'command' } }, required: ['class'] }
}

function sectionNode(description: string): Node {
  return { type: 'object', description, additionalProperties: false, properties: {} }
}

function settingNode({ format, doc, preset }: Setting<unknown>): Node {
  return {
    description: doc.replaceAll('`', ''),
    ...format.schema,
    ...(preset === null ? {} : { default: preset }),
  }
}
