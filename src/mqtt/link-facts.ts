import type { IConnackPacket } from 'mqtt'
import type { Qos } from '../core/config.ts'
import type { Dialect } from './dialects.ts'

/** What client and broker agreed on for one connection. */
export interface MqttLinkFacts {
  readonly protocolVersion: 4 | 5
  /** The broker kept our session: its messages and subscriptions of before are still there. */
  readonly sessionPresent: boolean
  /** Messages of QoS ≥ 1 the broker takes before it acknowledges the first. */
  readonly receiveMaximum: number
  /** Bytes of the largest packet the broker takes; Infinity without a limit. */
  readonly maximumPacketSize: number
  /** Greatest topic alias the broker resolves; 0 = none. */
  readonly topicAliasMaximum: number
  readonly maximumQos: Qos
  readonly retainAvailable: boolean
  readonly subscriptionIdentifiersAvailable: boolean
  readonly wildcardAvailable: boolean
  /** 3.1.1 with the bridge bit: the broker does not echo our own messages. */
  readonly bridgeMode: boolean
  readonly server: string
  /** Seconds, the broker's when it set one; 0 = off. */
  readonly keepalive: number
}

const MAX_16 = 0xffff

/**
 * Reads the facts out of a CONNACK. Undefined when a property has a value that MQTT 5 forbids (3.2.2.3: zero
 * Receive Maximum or Maximum Packet Size, a property given twice).
 */
export function linkFacts(
  packet: IConnackPacket,
  dialect: Dialect,
  server: string,
  keepalive: number,
): MqttLinkFacts | undefined {
  const given = packet.properties ?? {}
  if (Object.values(given).some(isBroken)) return undefined
  if (given.receiveMaximum === 0 || given.maximumPacketSize === 0) return undefined
  const isMqtt5 = dialect.protocolVersion === 5
  return {
    protocolVersion: dialect.protocolVersion,
    sessionPresent: packet.sessionPresent,
    receiveMaximum: given.receiveMaximum ?? MAX_16,
    maximumPacketSize: given.maximumPacketSize ?? Number.POSITIVE_INFINITY,
    topicAliasMaximum: given.topicAliasMaximum ?? 0,
    maximumQos: qosOf(given.maximumQoS),
    retainAvailable: given.retainAvailable ?? true,
    subscriptionIdentifiersAvailable: isMqtt5 && (given.subscriptionIdentifiersAvailable ?? true),
    wildcardAvailable: given.wildcardSubscriptionAvailable ?? true,
    bridgeMode: dialect.bridgeMode,
    server,
    keepalive: given.serverKeepAlive ?? keepalive,
  }
}

// The library's parser says so when a value is given twice, or cut off.
function isBroken(value: unknown): boolean {
  return Array.isArray(value) || value === null || (typeof value === 'number' && !(value >= 0))
}

function qosOf(value: number | undefined): Qos {
  return value === 0 || value === 1 ? value : 2
}
