/** Bounds of the embedded broker; what happens at each is counted in {@link EmbeddedStats}. */
export interface EmbeddedLimits {
  /** Connections at one time; further ones are closed as they come. */
  readonly maxClients: number
  /** Persistent sessions, those of absent clients too; a new one beyond is refused (CONNACK 3). */
  readonly maxSessions: number
  /** Filters per client; a further one is refused in the SUBACK. */
  readonly maxSubscriptions: number
  /** Messages of QoS ≥ 1 queued or unacknowledged per persistent session; newer ones are not queued. */
  readonly maxQueued: number
  /** Retained messages; the message of a new topic beyond is delivered but not retained. */
  readonly maxRetained: number
  /** Bytes of topics and payloads retained. */
  readonly maxRetainedBytes: number
  /** Largest packet a device may send, bytes; a larger one closes its connection. */
  readonly maxPacketSize: number
  /** Bytes waiting for a device that does not read; beyond, its connection is closed. */
  readonly maxOutbound: number
  /** Publishes of QoS ≥ 1 waiting for the bridge, of all devices together; beyond, devices are not read. */
  readonly maxHeld: number
  /** Bytes written towards the bridge and not yet read by it. */
  readonly maxTowardBridge: number
  /** Milliseconds from the connection to its CONNECT. */
  readonly connectTimeout: number
  /** Milliseconds a QoS 0 publish waits for a bridge that does not read, before QoS 0 is dropped. */
  readonly liveGrace: number
  /** Milliseconds given to a closed connection to have its last packets handled or sent. */
  readonly linger: number
}

export const DEFAULT_LIMITS: EmbeddedLimits = {
  maxClients: 1_000,
  maxSessions: 10_000,
  maxSubscriptions: 1_000,
  maxQueued: 1_000,
  maxRetained: 10_000,
  maxRetainedBytes: 64 * 1024 * 1024,
  maxPacketSize: 1024 * 1024,
  maxOutbound: 8 * 1024 * 1024,
  maxHeld: 10_000,
  maxTowardBridge: 1024 * 1024,
  connectTimeout: 10_000,
  liveGrace: 1_000,
  linger: 5_000,
}

/** What the embedded broker counts; plain fields, zero at start. */
export class EmbeddedStats {
  /** Devices connected now. */
  clients = 0
  /** Persistent sessions now. */
  sessions = 0
  /** Retained messages now, and their bytes. */
  retained = 0
  retainedBytes = 0
  /** Device publishes of QoS ≥ 1 waiting for the bridge now. */
  held = 0
  /** Messages handed to the bridge, those of its own subscription only. */
  towardBridge = 0
  /** Messages the bridge published. */
  fromBridge = 0
  /** QoS 0 messages not handed to the bridge because it was away or did not read. */
  liveDropped = 0
  /** Wills not handed to the bridge because too many publishes were waiting. */
  willsDropped = 0
  /** Messages not queued for a session that had its fill. */
  queueRefused = 0
  /** Messages delivered but not retained, because the store was full. */
  retainedRefused = 0
  /** Publishes of the bridge that no device can get (name not valid in MQTT, too many levels). */
  bridgeRefused = 0
  /** Connections beyond `maxClients`. */
  clientsRefused = 0
  /** Refused logins: no or wrong credentials, the bridge's client id, too many sessions. */
  loginsRefused = 0
  subscriptionsRefused = 0
  /** Connections closed by the broker, by cause. */
  readonly closed = { malformed: 0, tooLarge: 0, slow: 0, keepalive: 0, error: 0 }
}
