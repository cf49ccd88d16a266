import type { MqttConfig } from '../core/config.ts'
import { BridgeError, type ErrorCode, toBridgeError } from '../core/errors.ts'
import { type Clock, LinkReport, type Logger } from '../core/ports.ts'
import type { MqttLinkFacts } from './link-facts.ts'
import { MqttSession } from './session.ts'
import { MqttTap, type MqttTapHost } from './tap.ts'

/** Where Mosquitto and its kin tell what they are. */
const VERSION_TOPIC = '$SYS/broker/version'
/** Milliseconds to wait for it. */
const VERSION_WAIT = 1_000
/** Milliseconds between looks at how the attempt goes. */
const LOOK = 20

/** What a broker offered to a visitor. */
export interface MqttProbe {
  readonly facts: MqttLinkFacts
  /** TLS, certificate and protocol of the connection. */
  readonly report: LinkReport
  /** Why the filters were not all granted; empty when they were. */
  readonly refused: string
  /** What the broker calls itself; empty when it does not say. */
  readonly brokerVersion: string
}

/** What a visit needs. */
export interface MqttProbeDeps {
  readonly logger: Logger
  readonly clock: Clock
  /** Filters the bridge would subscribe to. */
  readonly filters: readonly string[]
  /** Milliseconds for all of it. */
  readonly patience: number
}

/**
 * Visits the broker as the bridge would, and leaves again: under a client id of its own (`…-check`) and with
 * a session that ends with the visit, so that a running bridge is not disturbed. Throws the `BridgeError`
 * of the attempt that failed.
 */
export async function probeMqtt(config: MqttConfig, deps: MqttProbeDeps): Promise<MqttProbe> {
  const { clock, logger, filters, patience } = deps
  const report = new LinkReport('mqtt')
  const visitor = { ...config, clientId: `${config.clientId}-check`, sessionExpiry: 0 }
  const host = new Visit()
  let facts: MqttLinkFacts | undefined
  const session = new MqttSession(visitor, {
    logger,
    clock,
    report,
    topicAliasMaximum: 0,
    host: {
      wrap: (channel) =>
        new MqttTap(channel, host, {
          clock,
          maxPacketSize: config.maxPacketSize,
          topicAliasMaximum: 0,
        }),
      up: (found) => {
        facts = found
      },
      down: () => undefined,
    },
  })
  const end = clock.monotonic() + patience
  try {
    await session.start()
    while (facts === undefined) {
      const isLate = clock.monotonic() > end
      if (isLate || hasTriedAll(report, config.urls.length)) throw failureOf(report)
      await pause(LOOK)
    }
    const left = end - clock.monotonic()
    const refused = await subscribe(session, filters, left)
    const version = await subscribe(session, [VERSION_TOPIC], left)
    if (version === '') await host.version(VERSION_WAIT)
    return { facts, report, refused, brokerVersion: host.brokerVersion }
  } finally {
    await session.stop()
  }
}

/** A fallback to another version of MQTT is a new attempt at the same broker. */
function hasTriedAll(report: LinkReport, urls: number): boolean {
  let failed = 0
  for (const [code, count] of report.failures) if (code !== 'MQTT_VERSION') failed += count
  return failed >= urls
}

function failureOf({ lastError, server }: LinkReport): BridgeError {
  if (lastError === undefined) {
    return new BridgeError(`connecting to '${server}': no answer in time`, {
      code: 'CONNECT_TIMEOUT',
    })
  }
  return new BridgeError(lastError.message, { code: lastError.code as ErrorCode })
}

/** Why the filters were refused; empty when all were granted. */
async function subscribe(
  session: MqttSession,
  filters: readonly string[],
  patience: number,
): Promise<string> {
  try {
    // QoS 0: nothing has to be acknowledged, and rights do not depend on it
    const asked = session.subscribe(filters.map((filter) => ({ filter, qos: 0 as const })))
    const late = pause(patience).then(() => 'no answer to SUBSCRIBE')
    return await Promise.race([asked.then(() => ''), late])
  } catch (thrown) {
    return toBridgeError(thrown).message
  }
}

/** Reads over every message but the one that tells the broker's version. */
class Visit implements MqttTapHost {
  readonly accepting = true
  brokerVersion = ''
  #told: () => void = () => undefined

  /** Waits until the broker has told its version, at most `ms`. */
  async version(ms: number): Promise<void> {
    if (this.brokerVersion !== '') return
    const told = new Promise<void>((resolve) => {
      this.#told = resolve
    })
    await Promise.race([told, pause(ms)])
  }

  onMessage(view: Parameters<MqttTapHost['onMessage']>[0]): boolean {
    if (view.name === VERSION_TOPIC) {
      const end = Math.min(view.payloadEnd, view.payloadStart + 100)
      this.brokerVersion = view.buffer.utf8Slice(view.payloadStart, end)
      this.#told()
    }
    return true
  }

  onBatchEnd(): boolean {
    return true
  }

  onOversize(): boolean {
    return true
  }

  onAcknowledgement(): void {}
  onAcknowledgementsEnd(): void {}
  onRelease(): void {}
  onDrain(): void {}
  onStopped(): void {}
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}
