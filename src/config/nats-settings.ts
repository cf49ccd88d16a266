import { addresses, NATS_SCHEMES } from './addresses.ts'
import { boolean, duration, integer, path, secret, size, text } from './formats.ts'
import { optional, setting } from './setting.ts'

const SECOND = 1000
const KIB = 1024

/** Settings of the NATS side, by path. */
export const NATS_SETTINGS = {
  'nats.servers': setting(
    addresses(NATS_SCHEMES, 'tls://nats.example:4222'),
    ['nats://127.0.0.1:4222'],
    'Servers of the cluster, `nats://` or `tls://`, tried in turn. User info in a URL is a user name and password, or a token when there is no colon.',
  ),
  'nats.tls.caFile': optional(
    path('the path of a PEM file'),
    'CA certificates (PEM) that the server is checked against.',
    'the CAs of the system',
  ),
  'nats.tls.certFile': optional(
    path('the path of a PEM file'),
    'Client certificate (PEM); goes with `keyFile`.',
  ),
  'nats.tls.keyFile': optional(
    path('the path of a PEM file'),
    'Key of the client certificate (PEM).',
  ),
  'nats.tls.serverName': optional(
    text('a host name'),
    'Name the certificate of the server must carry, when it is not the host dialled.',
    'the host of the URL',
  ),
  'nats.tls.handshakeFirst': setting(
    boolean(),
    false,
    'Start TLS before the server greets; must agree with `handshake_first` of the server.',
  ),
  'nats.auth.jwt': optional(
    secret('the user JWT'),
    'User JWT: alone when it is a bearer token, else with `seed`.',
  ),
  'nats.auth.jwtFile': optional(
    path('the path of a file with the user JWT'),
    'File with the user JWT.',
  ),
  'nats.auth.seed': optional(
    secret('the seed'),
    'Seed (`SU…`) that signs the challenge of the server: with `jwt`, or alone as an nkey.',
  ),
  'nats.auth.seedFile': optional(path('the path of a file with the seed'), 'File with the seed.'),
  'nats.auth.creds': optional(
    secret('the content of a .creds file'),
    'Content of a `.creds` file: JWT and seed together.',
  ),
  'nats.auth.credsFile': optional(path('the path of a .creds file'), 'A `.creds` file.'),
  'nats.auth.username': optional(text('a name'), 'User name; goes with `password`.'),
  'nats.auth.password': optional(secret('the password'), 'Password of the user name.'),
  'nats.auth.passwordFile': optional(
    path('the path of a file with the password'),
    'File with the password.',
  ),
  'nats.auth.token': optional(secret('the token'), 'Token, for servers that ask for one.'),
  'nats.auth.tokenFile': optional(
    path('the path of a file with the token'),
    'File with the token.',
  ),
  'nats.account': optional(
    text('the name or public key of an account'),
    'Account the user JWT must belong to, by name or public key (`A…`); checked before it is used.',
    'not checked',
  ),
  'nats.name': optional(
    text('a name'),
    'Name of the connection, shown by the server.',
    'mqtt.clientId',
  ),
  'nats.connectTimeout': setting(
    duration('ms', 100, 600 * SECOND),
    '10s',
    'Longest time one attempt to connect may take.',
  ),
  'nats.pingInterval': setting(
    duration('ms', SECOND, 3600 * SECOND),
    '20s',
    'Time between pings; a connection that does not answer is given up.',
  ),
  'nats.window': setting(
    integer(1, 16_384),
    1000,
    'Messages taken from streams or waiting for the broker and not yet settled.',
  ),
  'nats.windowBytes': setting(
    size(64 * KIB, KIB * KIB * KIB),
    '16MiB',
    'Bytes of messages in flight, for each direction.',
  ),
}
