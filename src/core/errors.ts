/** What a failure means to the process: whether trying again can help, and which exit code it ends in. */
export interface ErrorKind {
  /** True when the same action may succeed later without anyone changing anything. */
  readonly retry: boolean
  /** What the operator can do about it: one or two plain sentences. */
  readonly hint: string
}

/**
 * Every failure the bridge can report. Codes are public interface: logs, `/status`, metrics and
 * `docs/errors.md` use them, so a code is never renamed or reused.
 */
export const ERRORS = {
  CONFIG_INVALID: {
    retry: false,
    hint: 'correct each listed setting; `check` reads the configuration without starting anything',
  },
  CONFIG_UNREADABLE: {
    retry: false,
    hint: 'give the path of a readable YAML or JSON file with --config',
  },
  USAGE: { retry: false, hint: 'see --help for the commands and their options' },
  SECRET_UNREADABLE: {
    retry: true,
    hint: 'mount the file and make it readable for the user the bridge runs as; it is read again at the next connect',
  },
  TLS_FILE_UNREADABLE: {
    retry: true,
    hint: 'mount the certificate or key file and make it readable for the user the bridge runs as',
  },
  TLS_UNTRUSTED: {
    retry: true,
    hint: 'the server certificate is not signed by the configured CA: set tls.caFile to the bundle that issued it',
  },
  TLS_NAME_MISMATCH: {
    retry: true,
    hint: 'the server certificate does not carry the name dialled: use a name it lists or set tls.serverName',
  },
  TLS_CERT_EXPIRED: { retry: true, hint: 'renew the server certificate' },
  TLS_HANDSHAKE: {
    retry: true,
    hint: 'the two sides do not agree on TLS: check the port, the scheme (tls:// or not) and the client certificate',
  },
  CONNECT_REFUSED: {
    retry: true,
    hint: 'nothing listens there: check host and port, that the server runs, and network policies',
  },
  CONNECT_TIMEOUT: {
    retry: true,
    hint: 'the server did not answer in time: check the address, network policies and the load of the server',
  },
  CONNECT_FAILED: { retry: true, hint: 'see the cause; the bridge keeps trying' },
  HOST_UNKNOWN: { retry: true, hint: 'the host name does not resolve: check the name and DNS' },
  LINK_LOST: { retry: true, hint: 'the connection broke; the bridge reconnects by itself' },
  LINK_HALF_OPEN: {
    retry: true,
    hint: 'the peer stopped answering although the connection looked open; the bridge reconnects by itself',
  },
  PROTOCOL_ERROR: {
    retry: true,
    hint: 'the peer sent bytes that break the protocol: check that the port really speaks it and that nothing in between rewrites the stream',
  },
  SHUTTING_DOWN: { retry: false, hint: 'the bridge is stopping; nothing to do' },
  MQTT_AUTH: {
    retry: true,
    hint: 'the broker refused the user name or password: check mqtt.username and the password file, and the ACL of the broker',
  },
  MQTT_CLIENT_ID: {
    retry: true,
    hint: 'the broker refused the client id: choose another mqtt.clientId',
  },
  MQTT_TAKEN_OVER: {
    retry: true,
    hint: 'another client uses the same mqtt.clientId: each bridge needs its own',
  },
  MQTT_REFUSED: { retry: true, hint: 'the broker refused the connection: see the reason it gave' },
  MQTT_VERSION: {
    retry: true,
    hint: 'the broker does not speak this MQTT version; the bridge falls back from 5 to 3.1.1 by itself',
  },
  MQTT_SUBSCRIBE_REFUSED: {
    retry: true,
    hint: 'the broker refused a filter: allow the bridge user to read it in the ACL of the broker',
  },
  NATS_AUTH: {
    retry: true,
    hint: 'the server refused the credentials: check nats.auth; for a JWT, `check --connect` names what is wrong with it',
  },
  NATS_JWT_EXPIRED: {
    retry: true,
    hint: 'the user JWT is past its expiry: put a new one in its file; the bridge picks it up at the next attempt',
  },
  NATS_JWT_NOT_YET_VALID: {
    retry: true,
    hint: 'the user JWT becomes valid later: wait, or check the clock of the machine that issued it',
  },
  NATS_JWT_ACCOUNT: {
    retry: true,
    hint: 'the user JWT belongs to another account than nats.account: use a JWT of that account',
  },
  NATS_JWT_CONNECTION_TYPE: {
    retry: true,
    hint: 'the user JWT does not allow this kind of connection: issue it with connection type STANDARD (the bridge speaks NATS, not MQTT, to the server)',
  },
  NATS_JWT_NEEDS_SEED: {
    retry: true,
    hint: 'the user JWT is not a bearer token: give its seed too (nats.auth.seedFile or credsFile) or issue it as bearer',
  },
  NATS_JWT_MALFORMED: {
    retry: true,
    hint: 'the file does not hold a NATS user JWT: check which file is mounted',
  },
  NATS_REVOKED: {
    retry: true,
    hint: 'the credentials were revoked: issue a new user JWT and put it in its file',
  },
  NATS_ACCOUNT_EXPIRED: { retry: true, hint: 'the account JWT has expired: push a renewed one' },
  NATS_TLS_FIRST_EXPECTED: {
    retry: true,
    hint: 'the server waits for TLS at once: set nats.tls.handshakeFirst to true',
  },
  NATS_TLS_FIRST_UNSUPPORTED: {
    retry: true,
    hint: 'the server greets in clear text before TLS: set nats.tls.handshakeFirst to false, or handshake_first: true on the server',
  },
  NATS_STALE: {
    retry: true,
    hint: 'the server stopped answering pings; the bridge opens a new connection',
  },
  NATS_SLOW_CONSUMER: {
    retry: true,
    hint: 'the server cut the bridge off for reading too slowly: the MQTT side cannot take the load; see the back-pressure metrics',
  },
  NATS_LAME_DUCK: {
    retry: true,
    hint: 'the server is about to shut down; the bridge moves to another one',
  },
  NATS_PERMISSION: {
    retry: false,
    hint: 'the NATS user may not use this subject: extend its permissions or exclude the topic from the route',
  },
  NATS_MAX_PAYLOAD: {
    retry: false,
    hint: 'the message is larger than max_payload of the server: raise it there or exclude the topic',
  },
  NATS_NO_JETSTREAM: {
    retry: true,
    hint: 'JetStream is not available to this account: enable it in the account limits, or use delivery: confirmed',
  },
  NATS_NO_STREAM: {
    retry: true,
    hint: 'no stream covers the subject of a durable route: create one, or use delivery: auto',
  },
  NATS_STREAM_REJECTED: {
    retry: true,
    hint: 'the stream refused the message: see the text of the server; a full stream needs room or discard: old',
  },
  NATS_CONSUMER: {
    retry: true,
    hint: 'the durable consumer could not be made or read: check the JetStream permissions and limits of the account',
  },
  MAPPING_UNMAPPABLE: {
    retry: false,
    hint: 'the name has no counterpart on the other side: rename it, or see docs/mapping.md',
  },
  MAPPING_RESERVED: {
    retry: false,
    hint: 'the name lies in a space reserved by NATS; the bridge never publishes there',
  },
  LISTEN_FAILED: {
    retry: false,
    hint: 'the address cannot be listened on: another process holds it, or it is not allowed',
  },
  USERS_FILE_INVALID: {
    retry: false,
    hint: 'each line of the users file is name:scrypt-hash; make one with `mqtt-nats-bridge user hash`',
  },
  TOOL_MISSING: {
    retry: false,
    hint: 'install nats-server 2.10 or newer, or Go so that it can be built',
  },
  INTERNAL: { retry: true, hint: 'this is a defect of the bridge: please report it with the log' },
} as const satisfies Record<string, ErrorKind>

/** Name of a failure; see {@link ERRORS}. */
export type ErrorCode = keyof typeof ERRORS

/** The one error class of the bridge. Callers match on `code`, never on text or class. */
export class BridgeError extends Error {
  readonly code: ErrorCode

  /**
   * @param message lowercase, what was being done, on what: `publishing to 'a.b': no responders`
   * @param options the stable code, and the error that caused this one
   */
  constructor(message: string, options: { code: ErrorCode; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'BridgeError'
    this.code = options.code
  }

  /** What the operator can do about it. */
  get hint(): string {
    return ERRORS[this.code].hint
  }

  /** Whether trying again can help without anyone changing anything. */
  get retry(): boolean {
    return ERRORS[this.code].retry
  }
}

/** Turns whatever was thrown into a {@link BridgeError}; one that already is stays itself. */
export function toBridgeError(thrown: unknown, code: ErrorCode = 'INTERNAL'): BridgeError {
  if (thrown instanceof BridgeError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new BridgeError(message, { code, cause: thrown })
}

/** One mistake in the configuration, ready to be shown. */
export interface Problem {
  /** Where in the configuration: `routes[0].qos`. */
  readonly path: string
  /** What is wrong and what would be right. */
  readonly text: string
  /** Where the value came from: `bridge.yaml:12`, `MQTTNATS_MQTT_URL`, `--log-level`, `default`. */
  readonly source: string
}
