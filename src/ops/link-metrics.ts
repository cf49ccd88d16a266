import type { ErrorCode } from '../core/errors.ts'
import type { Side } from '../core/ports.ts'
import { counter, gauge, type MetricDefinition } from './metric-definition.ts'
import { linksOf, perLink, type Sample, snake } from './metric-scene.ts'

/** Failures of an attempt to connect that are shown as 0 from the start, so that the first one is an increase. */
const DIAL_REASONS: readonly ErrorCode[] = [
  'CONNECT_FAILED',
  'CONNECT_REFUSED',
  'CONNECT_TIMEOUT',
  'HOST_UNKNOWN',
  'PROTOCOL_ERROR',
  'SECRET_UNREADABLE',
  'TLS_CERT_EXPIRED',
  'TLS_FILE_UNREADABLE',
  'TLS_HANDSHAKE',
  'TLS_NAME_MISMATCH',
  'TLS_UNTRUSTED',
]
const LOGIN_REASONS: Readonly<Record<Side, readonly ErrorCode[]>> = {
  mqtt: ['MQTT_AUTH', 'MQTT_CLIENT_ID', 'MQTT_REFUSED', 'MQTT_VERSION'],
  nats: ['NATS_AUTH', 'NATS_JWT_EXPIRED', 'NATS_REVOKED', 'NATS_TLS_FIRST_EXPECTED'],
}

/** The connection of each side. */
export const LINK_METRICS: readonly MetricDefinition[] = [
  gauge(
    'connection_up',
    ['side'],
    '1 while the side is connected',
    perLink((link) => Number(link.state === 'connected')),
  ),
  gauge(
    'connection_info',
    ['side', 'server', 'server_version', 'protocol', 'tls_version'],
    'Always 1; the server now connected to, in the labels',
    ({ report }) =>
      linksOf(report)
        .filter((link) => link.state === 'connected')
        .map((link) => ({
          labels: {
            side: link.side,
            server: link.server,
            server_version: link.serverVersion,
            protocol: link.protocol,
            tls_version: link.tlsVersion,
          },
          value: 1,
        })),
  ),
  counter(
    'connects_total',
    ['side'],
    'Connections made, the first one included',
    perLink((link) => link.connects),
  ),
  counter(
    'reconnects_total',
    ['side'],
    'Connections made after one was lost',
    perLink((link) => link.reconnects),
  ),
  counter(
    'disconnects_total',
    ['side'],
    'Connections that ended',
    perLink((link) => link.disconnects),
  ),
  counter(
    'connect_failures_total',
    ['side', 'reason'],
    'Failures of the connection and of attempts to make it, by error code',
    ({ report }) => linksOf(report).flatMap(({ side, failures }) => failuresOf(side, failures)),
  ),
  counter(
    'auth_errors_total',
    ['side'],
    'Logins the side refused',
    perLink((link) => link.authErrors),
  ),
  gauge(
    'connection_rtt_seconds',
    ['side'],
    'Round trip of the last ping; absent while not measured',
    (scene) => perLink((link) => link.rtt)(scene).filter((sample) => sample.value > 0),
  ),
  gauge(
    'subscriptions',
    ['side'],
    'Subscriptions the side has granted',
    perLink((link) => link.subscriptions),
  ),
  gauge(
    'tls_certificate_not_after_timestamp_seconds',
    ['side', 'role'],
    'When the certificate of the server expires, seconds since the epoch; absent without TLS',
    ({ report }) =>
      linksOf(report)
        .filter((link) => link.serverCertNotAfter > 0)
        .map((link) => ({
          labels: { side: link.side, role: 'server_leaf' },
          value: link.serverCertNotAfter,
        })),
  ),
]

function failuresOf(side: Side, failures: ReadonlyMap<string, number>): Sample[] {
  const reasons = new Set<string>([...DIAL_REASONS, ...LOGIN_REASONS[side], ...failures.keys()])
  return [...reasons].map((code) => ({
    labels: { side, reason: snake(code) },
    value: failures.get(code) ?? 0,
  }))
}
