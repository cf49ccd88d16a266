/** One setting of the configuration, as a flag. */
export interface SettingFlag {
  /** `log.level` */
  readonly path: string
  /** `--log-level` */
  readonly flag: string
  /** `MQTTNATS_LOG_LEVEL` */
  readonly variable: string
  readonly doc: string
  /** The default as a file would write it; empty when there is none. */
  readonly preset: string
}

/** What follows the list of commands. */
export const PROGRAM_HELP = `
Without a command, \`--config FILE\` alone is \`run --config FILE\`.

Examples:
  mqtt-nats-bridge demo                               try it: everything in one terminal
  mqtt-nats-bridge check --config bridge.yaml         is the configuration right?
  mqtt-nats-bridge check --config bridge.yaml --connect    do both sides offer what it needs?
  mqtt-nats-bridge run --config bridge.yaml           start the bridge
  mqtt-nats-bridge explain mqtt/sensors/temp --config bridge.yaml   where does this topic go?
  mqtt-nats-bridge tap --filter 'sensors/#'           what crosses right now?

Settings come from the file, over it the environment, over that flags:
  log.level: debug   MQTTNATS_LOG_LEVEL=debug   --log-level debug
  \`mqtt-nats-bridge help settings\` lists them all.

Environment:
  MQTTNATS_CONFIG    the configuration file, when there is no --config
  MQTTNATS_…         any setting, see above
  MQTTNATS_TOOLS     folder for a nats-server that demo fetches
  NO_COLOR           no colours on a terminal

Exit codes:
  0    done and good, also a bridge that drained after SIGTERM or SIGINT
  1    the operation or check failed
  2    wrong usage or configuration
  130  a second SIGINT cut the drain short; 143 a second SIGTERM

Documentation: docs/ beside the program, docs/configuration.md first.
`

/** What follows the options of a command that reads the configuration. */
export const CONFIG_HELP = `
Any setting is a flag too, such as --log-level debug; \`mqtt-nats-bridge help settings\` lists them.
`

/** What follows the options of each command. */
export const EXAMPLES: Readonly<Record<string, string | undefined>> = {
  run: `
Examples:
  mqtt-nats-bridge run --config bridge.yaml
  MQTTNATS_MQTT_URL=mqtt://broker MQTTNATS_NATS_SERVERS=nats://nats mqtt-nats-bridge run

Serves /livez /readyz /status /metrics /tap on http.listen, 127.0.0.1:8080 unless set.
SIGTERM and SIGINT settle what is in flight, up to shutdownTimeout; a second one exits at once.
SIGHUP, or the file changing, reads the configuration again: log.level counts at once, other settings at
the next start. Secrets and certificates are read at every connect.
`,
  demo: `
Takes free ports of 127.0.0.1, 1883 for MQTT and 4222 for NATS when they are free. A nats-server is taken
from PATH, else fetched once. Ctrl-C ends everything and removes what was written.
`,
  check: `
Examples:
  mqtt-nats-bridge check --config bridge.yaml
  mqtt-nats-bridge check --config bridge.yaml --connect --output json

Starts nothing. --connect visits the broker under the client id with -check behind it, so that a running
bridge is not disturbed. Exit code 2 when the configuration has a mistake, 1 when a side cannot be used.
`,
  explain: `
Examples:
  mqtt-nats-bridge explain mqtt/sensors/temp --config bridge.yaml
  mqtt-nats-bridge explain sensors.temp --from nats --connect --config bridge.yaml

Without --from a name with a dot and no slash is read as a subject, any other as a topic.
Without a configuration the default route explains: mqtt/# on MQTT, everything on NATS.
`,
  tap: `
Examples:
  mqtt-nats-bridge tap --config bridge.yaml
  mqtt-nats-bridge tap --url http://127.0.0.1:8080 --filter 'sensors/+/temp'
  mqtt-nats-bridge tap --output json | jq .outcome

A line tells what was decided when the message came in: forwarded, inFlight (waiting for the far side to
answer), filtered (an echo or a copy), or why it was dropped. Payloads are not shown.
`,
  hash: `
Examples:
  mqtt-nats-bridge user hash sensor1 >> users
  printf %s "$PASSWORD" | mqtt-nats-bridge user hash sensor1

Prints name:hash for the file that mqtt.embedded.usersFile names.
`,
}

/** Every setting as flag and variable, with its default and meaning. */
export function settingsHelp(settings: readonly SettingFlag[]): string {
  const blocks = settings.map(({ flag, variable, preset, doc }) => {
    const fallback = preset === '' ? '' : `  (default ${preset})`
    return `${flag}\n${variable}\n    ${doc.replaceAll('`', '')}${fallback}\n`
  })
  return `Every setting, as flag and as variable:\n\n${blocks.join('\n')}`
}
