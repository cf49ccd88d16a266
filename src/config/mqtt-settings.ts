import { addressesOrEmbedded, listen, MQTT_SCHEMES } from './addresses.ts'
import { choice, duration, integer, path, secret, size, text } from './formats.ts'
import { optional, setting } from './setting.ts'

const SECOND = 1000
const KIB = 1024

/** Settings of the MQTT side, by path. */
export const MQTT_SETTINGS = {
  'mqtt.url': setting(
    addressesOrEmbedded(MQTT_SCHEMES, 'mqtts://broker.example:8883'),
    'mqtt://127.0.0.1:1883',
    'Broker to connect to: `mqtt://`, `mqtts://` (TLS), `ws://` or `wss://`. A list is tried in turn. `embedded` runs a broker inside the bridge.',
  ),
  'mqtt.protocolVersion': setting(
    choice([5, 4]),
    5,
    'MQTT version: 5, or 4 for 3.1.1. When the broker refuses 5 the bridge falls back to 4 and says so.',
  ),
  'mqtt.clientId': setting(
    text('a name'),
    'mqtt-nats-bridge',
    'Client identifier. It names the session on the broker and the durable consumers on NATS, so each bridge needs its own and keeps it.',
  ),
  'mqtt.username': optional(text('a name'), 'User name given to the broker.'),
  'mqtt.password': optional(secret('the password'), 'Password given to the broker.'),
  'mqtt.passwordFile': optional(
    path('the path of a file with the password'),
    'File with the password, read again at each connect and when it changes.',
  ),
  'mqtt.tls.caFile': optional(
    path('the path of a PEM file'),
    'CA certificates (PEM) that the broker is checked against.',
    'the CAs of the system',
  ),
  'mqtt.tls.certFile': optional(
    path('the path of a PEM file'),
    'Client certificate (PEM); goes with `keyFile`.',
  ),
  'mqtt.tls.keyFile': optional(
    path('the path of a PEM file'),
    'Key of the client certificate (PEM).',
  ),
  'mqtt.tls.serverName': optional(
    text('a host name'),
    'Name the certificate of the broker must carry, when it is not the host dialled.',
    'the host of the URL',
  ),
  'mqtt.keepalive': setting(
    duration('s', SECOND, 65_535 * SECOND),
    '30s',
    'Longest silence before the bridge pings the broker; the link counts as lost after one and a half times this.',
  ),
  'mqtt.sessionExpiry': setting(
    duration('s', 0, 4_294_967_295 * SECOND),
    '7d',
    'How long the broker keeps session and queued messages while the bridge is away. `0s` ends the session with the connection.',
  ),
  'mqtt.connectTimeout': setting(
    duration('ms', 100, 600 * SECOND),
    '10s',
    'Longest time one attempt to connect may take.',
  ),
  'mqtt.window': setting(
    integer(1, 16_384),
    1000,
    'Messages of QoS 1 and 2 taken from the broker and not yet acknowledged (Receive Maximum).',
  ),
  'mqtt.maxPacketSize': setting(
    size(KIB, 256 * KIB * KIB),
    '4MiB',
    'Largest MQTT packet taken from the broker.',
  ),
  'mqtt.embedded.listen': setting(
    listen(),
    '127.0.0.1:1883',
    'Where the embedded broker listens, `host:port`.',
  ),
  'mqtt.embedded.usersFile': optional(
    path('the path of a users file'),
    'Users of the embedded broker, one `name:hash` per line.',
    'everybody may connect',
  ),
  'mqtt.embedded.certFile': optional(
    path('the path of a PEM file'),
    'Certificate of the embedded broker (PEM); with `keyFile` it listens with TLS.',
  ),
  'mqtt.embedded.keyFile': optional(
    path('the path of a PEM file'),
    'Key of the certificate of the embedded broker (PEM).',
  ),
}
