import type { Json } from './formats.ts'
import { envName } from './paths.ts'
import { ROUTE_SETTINGS } from './route-settings.ts'
import { namesIn, SECTIONS, SETTING_PATHS, type SettingPath, settingOf } from './schema.ts'
import type { Setting } from './setting.ts'

const INTRODUCTION = `# Configuration

Every setting of the bridge. This page and \`config/schema.json\` are generated from the definition that the
program itself reads; a test fails when they differ.

## Where settings come from

| layer | example |
|---|---|
| default | the tables below |
| file, YAML or JSON | \`--config bridge.yaml\`, or \`MQTTNATS_CONFIG=bridge.yaml\` |
| environment | \`MQTTNATS_MQTT_URL=mqtts://broker.example\` |
| flags | \`--log-level debug\` |

A later layer wins, setting by setting. A variable is called \`MQTTNATS_\` and the path of the setting in upper
snake case; an empty one counts as not set. Lists in variables are separated by commas; \`MQTTNATS_ROUTES\` holds JSON.

All mistakes are reported together, each with its path, where the value came from and what would be right.
Unknown keys, variables and flags are mistakes too. \`mqtt-nats-bridge check\` reads the configuration and starts nothing.
Settings this version takes and does not act on yet (\`class\` state and command, \`ttl\`, \`drainRate\`, \`onConflict\`,
\`oversize\`, QoS 2) are named by \`check\` and in the log at start, with what happens instead.

## How values are written

- Durations are a whole number and \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`: \`500ms\`, \`30s\`, \`4m\`, \`7d\`.
- Sizes are a whole number and \`B\`, \`KiB\`, \`MiB\` or \`GiB\`: \`64KiB\`, \`1MiB\`.
- Relative paths of files count from the folder of the configuration file; in variables and flags, from the
  working directory.
- A trailing dot of a host name is dropped. A port that is left out is the usual one of its scheme: 1883
  \`mqtt\`, 8883 \`mqtts\`, 80 \`ws\`, 443 \`wss\`, 4222 \`nats\` and \`tls\`.

## Secrets

Each secret has a twin that ends in \`File\`. The file is read again at each connect and when it changes, so that a
new password or JWT needs no restart; line breaks at its end do not count. Giving both twins is a mistake.
User info in a URL is taken out and kept like a secret. No secret is shown in a log, an error, \`/status\` or \`check\`.
`

/** The text of `docs/configuration.md`. */
export function configReference(): string {
  const blocks = [INTRODUCTION]
  for (const [section, doc] of [...Object.entries(SECTIONS), ['', ''] as const]) {
    const paths = pathsOf(section)
    if (section === 'http') blocks.push(routesBlock())
    const heading = section === '' ? '## Others\n' : `## \`${section}\`\n\n${doc}\n`
    blocks.push(`${heading}\n${settingsTable(paths)}`)
  }
  return blocks.join('\n')
}

function pathsOf(section: string): SettingPath[] {
  const start = section === '' ? '' : `${section}.`
  const wanted = new Set(namesIn(section).map((name) => start + name))
  return SETTING_PATHS.filter((path) => wanted.has(path) && path !== 'routes')
}

function settingsTable(paths: readonly SettingPath[]): string {
  const rows = paths.map((path) => {
    const setting = settingOf(path)
    return `| \`${path}\` | ${presetOf(setting)} | \`${envName(path)}\` | ${meaning(setting)} |`
  })
  return ['| setting | default | variable | meaning |', '|---|---|---|---|', ...rows, ''].join('\n')
}

function routesBlock(): string {
  const { doc, preset } = settingOf('routes')
  const rows = Object.entries<Setting<unknown>>(ROUTE_SETTINGS).map(
    ([key, setting]) => `| \`${key}\` | ${presetOf(setting)} | ${meaning(setting)} |`,
  )
  return [
    `## \`routes\`\n\n${doc}\n`,
    'On MQTT the topic is `mqttPrefix` + x, on NATS the subject is the conversion of `natsPrefix` + x, for every x',
    'that `pattern` matches. An x that begins with `$` is not taken by a pattern that begins with a wildcard.',
    `Variable: \`${envName('routes')}\`. When no routes are given there is this one:\n`,
    `\`\`\`json\n${JSON.stringify(preset, null, 2)}\n\`\`\`\n`,
    'In a route that is given, each key has its own default:\n',
    '| key | default | meaning |\n|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

function presetOf({ preset, presetDoc, required }: Setting<unknown>): string {
  if (required === true) return 'required'
  if (preset !== null) return `\`${written(preset)}\``
  return presetDoc ?? '–'
}

function meaning({ doc, format }: Setting<unknown>): string {
  const isSaid = ['text', 'path', 'secret', 'texts', 'addresses', 'startAt'].includes(format.name)
  return (isSaid ? doc : `${doc} *(${format.syntax})*`).replaceAll('|', '\\|')
}

function written(preset: Json): string {
  return typeof preset === 'string' && preset !== '' ? preset : JSON.stringify(preset)
}
