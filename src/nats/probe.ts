import type { NatsConfig } from '../core/config.ts'
import { BridgeError, type ErrorCode, toBridgeError } from '../core/errors.ts'
import { type Clock, LinkReport, type Logger } from '../core/ports.ts'
import { decodeUserJwt, type UserClaims } from './jwt.ts'
import type { NatsLinkFacts } from './link.ts'
import { readLogin } from './login.ts'
import { NatsSession } from './session.ts'
import { SessionTransport } from './session-transport.ts'
import { jetStreamApi, listStreams, type StreamFacts } from './streams.ts'

/** Milliseconds between looks at how the attempt goes. */
const LOOK = 20

/** What a server offered to a visitor. */
export interface NatsProbe {
  readonly facts: NatsLinkFacts
  /** TLS and certificate of the connection. */
  readonly report: LinkReport
  /** Streams that can take part; undefined when they cannot be listed. */
  readonly streams: readonly StreamFacts[] | undefined
  /** Why the streams cannot be listed. */
  readonly withoutStreams?: { readonly code: ErrorCode; readonly text: string }
  /** The user JWT that was shown to the server. */
  readonly claims?: UserClaims
}

/** What a visit needs. */
export interface NatsProbeDeps {
  readonly logger: Logger
  readonly clock: Clock
  /** Milliseconds for all of it. */
  readonly patience: number
}

/**
 * Visits the server as the bridge would, lists the streams, and leaves again. Throws the `BridgeError` of
 * the attempt that failed.
 */
export async function probeNats(config: NatsConfig, deps: NatsProbeDeps): Promise<NatsProbe> {
  const { clock, logger, patience } = deps
  const report = new LinkReport('nats')
  let facts: NatsLinkFacts | undefined
  const session = new NatsSession(
    { ...config, name: `${config.name} check` },
    {
      logger,
      clock,
      report,
      host: {
        transport: () => new SessionTransport(),
        up: (found) => {
          facts = found
        },
        down: () => undefined,
        serverError: () => undefined,
        lameDuck: () => undefined,
      },
    },
  )
  const end = clock.monotonic() + patience
  try {
    await session.start()
    while (facts === undefined) {
      const failed = [...report.failures.values()].reduce((sum, count) => sum + count, 0)
      if (clock.monotonic() > end || failed >= config.servers.length) throw failureOf(report)
      await new Promise((resolve) => setTimeout(resolve, LOOK))
    }
    return { facts, report, ...(await streamsOf(session)), ...claimsOf(config, clock.now()) }
  } finally {
    await session.stop()
  }
}

async function streamsOf(
  session: NatsSession,
): Promise<Pick<NatsProbe, 'streams' | 'withoutStreams'>> {
  const api = jetStreamApi((subject, payload, timeout) =>
    session.request(subject, payload, timeout),
  )
  try {
    return { streams: await listStreams(api) }
  } catch (thrown) {
    const { code, message } = toBridgeError(thrown)
    return { streams: undefined, withoutStreams: { code, text: message } }
  }
}

function claimsOf(config: NatsConfig, now: number): { readonly claims?: UserClaims } {
  const { jwt } = readLogin(config, now).credentials
  return jwt === undefined ? {} : { claims: decodeUserJwt(jwt) }
}

function failureOf({ lastError, server }: LinkReport): BridgeError {
  if (lastError === undefined) {
    return new BridgeError(`connecting to '${server}': no answer in time`, {
      code: 'CONNECT_TIMEOUT',
    })
  }
  return new BridgeError(lastError.message, { code: lastError.code as ErrorCode })
}
