/** Path of a key inside a section: `mqtt` + `url` = `mqtt.url`; keys that are no plain word are quoted. */
export function joinPath(
  section: string,
  key: string,
  separator = section === '' ? '' : '.',
): string {
  const isPlain = /^[\w$-]{1,64}$/.test(key)
  return `${section}${separator}${isPlain ? key : JSON.stringify(key.slice(0, 64))}`
}

/** Variable of a setting: `nats.tls.caFile` = `MQTTNATS_NATS_TLS_CA_FILE`. */
export function envName(path: string): string {
  return `${ENV_PREFIX}${worded(path, '_').toUpperCase()}`
}

/** Flag of a setting: `log.level` = `--log-level`. */
export function flagName(path: string): string {
  return `--${worded(path, '-').toLowerCase()}`
}

/** What every variable of the bridge begins with. */
export const ENV_PREFIX = 'MQTTNATS_'

/** Variable with the path of the configuration file. */
export const ENV_CONFIG_FILE = `${ENV_PREFIX}CONFIG`

/** Variables that begin like settings and are none: the configuration file, and the folder of fetched tools. */
export const ENV_OTHERS: ReadonlySet<string> = new Set([ENV_CONFIG_FILE, `${ENV_PREFIX}TOOLS`])

function worded(path: string, separator: string): string {
  return path.replaceAll('.', separator).replaceAll(/([a-z0-9])([A-Z])/g, `$1${separator}$2`)
}
