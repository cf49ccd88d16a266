import { listenOrOff } from './addresses.ts'
import { choice, duration } from './formats.ts'
import { MQTT_SETTINGS } from './mqtt-settings.ts'
import { NATS_SETTINGS } from './nats-settings.ts'
import { DEFAULT_ROUTES, routeList } from './routes.ts'
import { type Setting, setting, type ValueOf } from './setting.ts'

/** Every setting by its path, in the order of the documentation. The one definition all else is made from. */
export const SETTINGS = {
  ...MQTT_SETTINGS,
  ...NATS_SETTINGS,
  routes: setting(
    routeList(),
    DEFAULT_ROUTES,
    'What crosses, which way and under which name. The first route that matches takes the message. In a variable or flag: JSON.',
  ),
  'http.listen': setting(
    listenOrOff(),
    '127.0.0.1:8080',
    'Where `/livez`, `/readyz`, `/status` and `/metrics` are served, or `off`.',
  ),
  'log.level': setting(
    choice(['trace', 'debug', 'info', 'warn', 'error', 'silent']),
    'info',
    'Least severe line that is written.',
  ),
  'log.format': setting(
    choice(['auto', 'json', 'pretty']),
    'auto',
    '`json` lines, `pretty` text for people; `auto` takes pretty on a terminal.',
  ),
  shutdownTimeout: setting(
    duration('ms', 0, 3_600_000),
    '10s',
    'Longest time the drain may take after SIGTERM or SIGINT.',
  ),
}

/** Path of a setting. */
export type SettingPath = keyof typeof SETTINGS

/** All settings, read. */
export type Values = { readonly [P in SettingPath]: ValueOf<(typeof SETTINGS)[P]> }

/** Paths of all settings, in order. */
export const SETTING_PATHS = Object.keys(SETTINGS) as readonly SettingPath[]

/** Whether there is a setting of this path. */
export function isSetting(path: string): path is SettingPath {
  return Object.hasOwn(SETTINGS, path)
}

/** The setting of a path, whatever it holds. */
export function settingOf(path: SettingPath): Setting<unknown> {
  return SETTINGS[path]
}

/** Sections by their path, with what they are for. */
export const SECTIONS: Readonly<Record<string, string>> = {
  mqtt: 'The MQTT side: which broker, as whom, with what limits.',
  'mqtt.tls': 'TLS towards the broker; used with `mqtts://` and `wss://`.',
  'mqtt.embedded': 'The broker inside the bridge; used with `mqtt.url: embedded`.',
  nats: 'The NATS side: which servers, as whom, with what limits.',
  'nats.tls': 'TLS towards the servers. The section turns TLS on, and so does `tls://`.',
  'nats.auth':
    'How the bridge logs in: `jwt`, `jwt` with `seed`, `creds`, `seed`, `username` with `password`, `token`, or nothing.',
  http: 'The pages that let people and probes watch the bridge.',
  log: 'The log on standard output.',
}

/** Names that may stand in a section; the top level is the empty path. */
export function namesIn(section: string): readonly string[] {
  const start = section === '' ? '' : `${section}.`
  const names = new Set<string>()
  for (const path of SETTING_PATHS) {
    const rest = path.startsWith(start) ? path.slice(start.length) : ''
    if (rest !== '') names.add(rest.replace(/\..*$/, ''))
  }
  return [...names]
}
