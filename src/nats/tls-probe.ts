import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { BridgeError, type ErrorCode } from '../core/errors.ts'
import type { Stage } from './errors.ts'
import type { ServerAddress } from './servers.ts'

/** Milliseconds a probe may take. */
const PROBE_TIME = 1_000

/** Bytes looked at before a probe makes up its mind. */
const ENOUGH = 5

/** What is known of the attempt that failed. */
export interface FailedAttempt {
  readonly server: ServerAddress
  readonly stage: Stage
  readonly handshakeFirst: boolean
}

const SILENT: readonly ErrorCode[] = ['CONNECT_TIMEOUT', 'LINK_LOST']
const BROKEN: readonly ErrorCode[] = ['TLS_HANDSHAKE', 'CONNECT_TIMEOUT', 'LINK_LOST']

/**
 * Finds out whether an attempt failed because the two sides disagree on who begins: neither side's error says
 * so, one sees silence and the other bytes that are not TLS. Dials once more and looks, at most 1 s.
 * Resolves to the error itself when that is not it.
 */
export async function explainHandshake(
  error: BridgeError,
  attempt: FailedAttempt,
): Promise<BridgeError> {
  const { server, stage, handshakeFirst } = attempt
  const action = `connecting to '${server.label}'`
  if (!handshakeFirst && stage === 'greeting' && SILENT.includes(error.code)) {
    if (!(await answersTls(server))) return error
    return new BridgeError(`${action}: the server waits for TLS before it greets`, {
      code: 'NATS_TLS_FIRST_EXPECTED',
      cause: error,
    })
  }
  if (handshakeFirst && stage === 'handshake' && BROKEN.includes(error.code)) {
    if (!(await greetsInClear(server))) return error
    return new BridgeError(`${action}: the server greets in clear text before TLS`, {
      code: 'NATS_TLS_FIRST_UNSUPPORTED',
      cause: error,
    })
  }
  return error
}

/** Whether the server sends `INFO` to whoever connects. */
export function greetsInClear(server: ServerAddress): Promise<boolean> {
  return probe((settle) => {
    let seen = ''
    const socket = connectTcp(server.port, server.host)
    socket.on('data', (chunk: Buffer) => {
      seen += chunk.latin1Slice(0, ENOUGH)
      if (seen.length >= ENOUGH) settle(/^INFO\s/i.test(seen))
    })
    return socket
  })
}

/** Whether the server answers a TLS handshake that comes first, be it with an alert. */
export function answersTls(server: ServerAddress): Promise<boolean> {
  return probe((settle) => {
    // nothing is sent but the handshake, so whose certificate it is does not matter
    const socket = connectTls({
      port: server.port,
      host: server.host,
      rejectUnauthorized: false,
    })
    socket.on('secureConnect', () => settle(true))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      settle(error.code?.includes('_ALERT_') === true)
    })
    return socket
  })
}

/** Runs one look at a server; false when it takes too long or the connection ends without an answer. */
function probe(look: (settle: (answer: boolean) => void) => Socket): Promise<boolean> {
  return new Promise((resolve) => {
    let socket: Socket | undefined
    const settle = (answer: boolean): void => {
      clearTimeout(timer)
      socket?.destroy()
      resolve(answer)
    }
    const timer = setTimeout(() => settle(false), PROBE_TIME)
    socket = look(settle)
    socket.on('error', () => settle(false))
    socket.on('close', () => settle(false))
  })
}
