import type { BridgeConfig, NatsAuthConfig, RouteConfig } from './core/config.ts'
import type { Problem } from './core/errors.ts'
import type { Logger, Side } from './core/ports.ts'
import { withoutEffect } from './preview.ts'

/** What is announced, and to whom. */
export interface Announcement {
  readonly log: Logger
  readonly version: string
  readonly file: string | undefined
  readonly warnings: readonly Problem[]
}

/** Says in the log what is about to run: the version, both sides, each route, and what deserves a warning. */
export function announce(
  config: BridgeConfig,
  { log, version, file, warnings }: Announcement,
): void {
  const { mqtt, nats, routes } = config
  log.info({ version, node: process.versions.node, file: file ?? 'none' }, 'starting')
  log.info(
    {
      url: mqtt.useEmbedded ? 'embedded' : mqtt.urls.join(', '),
      ...(mqtt.useEmbedded ? { listen: mqtt.embedded.listen } : {}),
      clientId: mqtt.clientId,
      user: mqtt.username ?? 'anonymous',
      protocolVersion: mqtt.protocolVersion,
    },
    'mqtt side',
  )
  log.info({ servers: nats.servers.join(', '), login: loginOf(nats.auth) }, 'nats side')
  for (const route of routes) log.info(routeFacts(route), 'route')
  for (const route of routes) {
    for (const note of withoutEffect(route))
      log.warn({ route: route.name, note }, 'setting without effect')
  }
  for (const { path, text, source } of warnings) log.warn({ path, source, text }, 'route warning')
  for (const { side, text } of exposure(config)) log.warn({ side, text }, 'not protected')
}

/** How the bridge logs in to NATS, in words without secrets. */
export function loginOf(auth: NatsAuthConfig): string {
  if (auth.creds !== undefined) return 'JWT and seed of a creds file'
  if (auth.jwt !== undefined) return auth.seed === undefined ? 'bearer JWT' : 'JWT with seed'
  if (auth.seed !== undefined) return 'nkey'
  if (auth.token !== undefined) return 'token'
  return auth.username === undefined ? 'none' : `user ${auth.username}`
}

/** A way for others to read or write along. */
export interface Exposure {
  readonly side: Side
  /** What is open, and what would close it. */
  readonly text: string
}

/** Where messages or secrets travel, or anybody may come in, without protection. */
export function exposure({ mqtt, nats }: BridgeConfig): Exposure[] {
  const found: Exposure[] = []
  const open = mqtt.urls.filter((url) => /^(mqtt|ws):/.test(url) && !isLocal(url))
  if (open.length > 0) {
    const what = mqtt.password === undefined ? 'messages' : 'messages and the password'
    const text = `${what} travel to ${open.join(', ')} in clear: use mqtts:// or wss://`
    found.push({ side: 'mqtt', text })
  }
  const servers = nats.tls === undefined ? nats.servers.filter((url) => !isLocal(url)) : []
  if (servers.length > 0) {
    const what = loginOf(nats.auth) === 'none' ? 'messages' : 'messages and the login'
    const text = `${what} may travel to ${servers.join(', ')} in clear: use tls:// or a nats.tls section`
    found.push({ side: 'nats', text })
  }
  const { listen, usersFile } = mqtt.embedded
  if (mqtt.useEmbedded && usersFile === undefined && !isLocal(`mqtt://${listen}`)) {
    const text = `anybody who reaches ${listen} may publish and subscribe: set mqtt.embedded.usersFile`
    found.push({ side: 'mqtt', text })
  }
  return found
}

function routeFacts(route: RouteConfig): object {
  const { name, direction, delivery, qos, pattern, mqttPrefix, natsPrefix } = route
  return {
    route: name,
    direction,
    delivery,
    qos,
    mqtt: mqttPrefix + pattern,
    nats: natsPrefix + pattern,
    class: route.class,
  }
}

function isLocal(url: string): boolean {
  const host = URL.canParse(url) ? new URL(url).hostname : ''
  return host === 'localhost' || host === '[::1]' || /^127\./.test(host)
}
