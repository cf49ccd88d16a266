/** The two ways a message can go; always named by both ends. */
export type Direction = 'mqttToNats' | 'natsToMqtt'
export const DIRECTIONS: readonly Direction[] = ['mqttToNats', 'natsToMqtt']

/** MQTT quality of service. */
export type Qos = 0 | 1 | 2

/** A secret that is read when it is needed, so that a rotated file is picked up. Never prints itself. */
export interface Secret {
  /** Where it comes from, fit for logs: `file /run/secrets/x` or `inline`. */
  readonly origin: string
  /** Path of the file behind it; absent for an inline secret. */
  readonly file?: string
  /** The value now, without trailing line breaks. Throws `BridgeError` SECRET_UNREADABLE. */
  read(): string
}

export interface TlsConfig {
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
  /** Name sent as SNI and checked against the certificate, when it is not the host dialled. */
  readonly serverName?: string
}

export interface EmbeddedConfig {
  /** `host:port`, TLS when `certFile` and `keyFile` are given. */
  readonly listen: string
  /** File of `name:scrypt-hash` lines; without one every client may connect. */
  readonly usersFile?: string
  readonly certFile?: string
  readonly keyFile?: string
}

export interface MqttConfig {
  /** Broker URLs tried in turn (`mqtt mqtts ws wss`), without user info; empty when the embedded broker runs. */
  readonly urls: readonly string[]
  /** True for `mqtt.url: embedded`. */
  readonly useEmbedded: boolean
  readonly protocolVersion: 4 | 5
  readonly clientId: string
  readonly username?: string
  readonly password?: Secret
  readonly tls: TlsConfig
  /** Seconds. */
  readonly keepalive: number
  /** Seconds; 0 ends the session with the connection. */
  readonly sessionExpiry: number
  /** Milliseconds a connection attempt may take. */
  readonly connectTimeout: number
  /** Messages of QoS ≥ 1 taken from the broker and not yet acknowledged (announced as Receive Maximum). */
  readonly window: number
  /** Largest MQTT packet taken from the broker, bytes; a larger PUBLISH is acked and counted as `tooLarge`. */
  readonly maxPacketSize: number
  readonly embedded: EmbeddedConfig
}

export interface NatsAuthConfig {
  /** User JWT alone (bearer), or with `seed`. */
  readonly jwt?: Secret
  readonly seed?: Secret
  /** A `.creds` file: JWT and seed together. */
  readonly creds?: Secret
  readonly username?: string
  readonly password?: Secret
  readonly token?: Secret
}

export interface NatsTlsConfig extends TlsConfig {
  /** TLS before INFO; must agree with `handshake_first` of the server. */
  readonly handshakeFirst: boolean
}

export interface NatsConfig {
  /** `nats://` or `tls://` URLs, without user info. */
  readonly servers: readonly string[]
  /** Present when TLS is asked for, by scheme or by a `tls` section. */
  readonly tls?: NatsTlsConfig
  readonly auth: NatsAuthConfig
  /** Account the JWT must belong to (public key `A…` or its name), when given. */
  readonly account?: string
  /** Client name shown by the server; also names the durable consumers. */
  readonly name: string
  /** Milliseconds a connection attempt may take. */
  readonly connectTimeout: number
  /** Milliseconds between pings of the connection. */
  readonly pingInterval: number
  /** Messages fetched from streams or queued for the broker and not yet settled. */
  readonly window: number
  /** Bytes of messages held in flight, per direction. */
  readonly windowBytes: number
}

export type DeliveryMode = 'live' | 'confirmed' | 'durable' | 'auto'
export type MessageClass = 'event' | 'state' | 'command' | 'live'

/** One route, read like Mosquitto's `topic` line. On MQTT the topic is `mqttPrefix + x`, on NATS the conversion of `natsPrefix + x`. */
export interface RouteConfig {
  /** Unique; default the pattern, with a number when that repeats. */
  readonly name: string
  /** MQTT filter over x. */
  readonly pattern: string
  readonly direction: Direction | 'both'
  /** Ceiling of the QoS on the far side. */
  readonly qos: Qos
  readonly mqttPrefix: string
  /** In topic form: `site/a/`. */
  readonly natsPrefix: string
  /** MQTT filters over x; an excluded message goes on to the next route. */
  readonly exclude: readonly string[]
  readonly delivery: DeliveryMode
  readonly class: MessageClass
  /** Milliseconds; only with class `command`. */
  readonly ttl?: number
  readonly retain: 'keep' | 'strip' | 'force'
  readonly unmappable: 'escape' | 'deadLetter'
  readonly oversize: 'deadLetter' | 'objectStore'
  /** Where a new durable consumer begins. */
  readonly startAt: 'new' | 'all' | { readonly time: string } | { readonly sequence: number }
  /** Messages per second after an outage; absent: as fast as it goes. */
  readonly drainRate?: number
  readonly onConflict: 'mqtt' | 'nats' | 'newest'
}

export interface BridgeConfig {
  readonly mqtt: MqttConfig
  readonly nats: NatsConfig
  /** In order; the first that matches takes the message. */
  readonly routes: readonly RouteConfig[]
  readonly http: { readonly host: string; readonly port: number } | undefined
  readonly log: {
    readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'
    readonly format: 'json' | 'pretty' | 'auto'
  }
  /** Milliseconds the drain may take. */
  readonly shutdownTimeout: number
}
