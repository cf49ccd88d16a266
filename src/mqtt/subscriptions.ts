import type { ISubscriptionMap, MqttClient } from 'mqtt'
import type { Qos } from '../core/config.ts'
import { BridgeError } from '../core/errors.ts'
import { protocolError, type Refusal } from './errors.ts'
import type { MqttLinkFacts } from './link-facts.ts'

/** One filter to subscribe to. */
export interface Subscription {
  readonly filter: string
  readonly qos: Qos
  /** MQTT 5 subscription identifier, 1 to 268,435,455, which messages of this filter will carry. */
  readonly subscriptionId?: number
}

/** What became of one SUBSCRIBE. */
export interface SubscribeResult {
  readonly granted: readonly {
    readonly filter: string
    readonly asked: number
    readonly qos: number
  }[]
  readonly refused: readonly Refusal[]
}

/** Retained messages only when the subscription is new, so that a resumed session does not repeat them. */
const RETAIN_IF_NEW = 1

/**
 * Sends the filters, one SUBSCRIBE for each subscription identifier (it applies to a whole packet), and waits
 * for every answer. Rejects with `BridgeError` LINK_LOST when the connection ends before.
 */
export async function subscribeAt(
  client: MqttClient,
  facts: MqttLinkFacts,
  subscriptions: readonly Subscription[],
): Promise<SubscribeResult> {
  const groups = new Map<number, Subscription[]>()
  for (const subscription of subscriptions) {
    const id = facts.subscriptionIdentifiersAvailable ? (subscription.subscriptionId ?? 0) : 0
    const group = groups.get(id)
    if (group === undefined) groups.set(id, [subscription])
    else group.push(subscription)
  }
  const results = await Promise.all(
    [...groups].map(([id, group]) => request(client, facts, id, group)),
  )
  return {
    granted: results.flatMap((result) => result.granted),
    refused: results.flatMap((result) => result.refused),
  }
}

/** Ends subscriptions. Rejects with `BridgeError` LINK_LOST when the connection ends before the answer. */
export function unsubscribeAt(
  client: MqttClient,
  facts: MqttLinkFacts,
  filters: readonly string[],
): Promise<void> {
  return new Promise((resolve, reject) => {
    client.unsubscribe([...filters], (error) => {
      if (error) reject(connectionLost(facts, 'unsubscribing', error))
      else resolve()
    })
  })
}

function request(
  client: MqttClient,
  facts: MqttLinkFacts,
  id: number,
  group: readonly Subscription[],
): Promise<SubscribeResult> {
  const asked = new Map(group.map(({ filter, qos }) => [filter, qos]))
  const options = id === 0 ? {} : { properties: { subscriptionIdentifier: id } }
  return new Promise((resolve, reject) => {
    client.subscribe(toMap(asked), options, (error, grants, packet) => {
      const codes = packet?.granted
      if (grants === undefined || codes === undefined) {
        reject(connectionLost(facts, 'subscribing', error))
      } else if (codes.length !== grants.length) {
        const text = `SUBACK has ${codes.length} codes for ${grants.length} filters`
        reject(protocolError(facts.server, text))
      } else {
        const filters = grants.map((grant) => grant.topic)
        resolve(sortOut(filters, codes.map(Number), asked))
      }
    })
  })
}

function sortOut(
  filters: readonly string[],
  codes: readonly number[],
  asked: ReadonlyMap<string, Qos>,
): SubscribeResult {
  const rows = filters.map((filter, at) => ({ filter, code: codes[at] ?? 0 }))
  return {
    granted: rows
      .filter(({ code }) => code < 0x80)
      .map(({ filter, code }) => ({ filter, asked: asked.get(filter) ?? 0, qos: code })),
    refused: rows.filter(({ code }) => code >= 0x80),
  }
}

function toMap(asked: ReadonlyMap<string, Qos>): ISubscriptionMap {
  // The three options exist in MQTT 5 only; the library leaves them out for 3.1.1.
  const rows = [...asked].map(([filter, qos]) => [
    filter,
    // No Local on a shared subscription is a protocol error [MQTT-3.8.3-4].
    { qos, nl: !filter.startsWith('$share/'), rap: true, rh: RETAIN_IF_NEW },
  ])
  return Object.fromEntries(rows) as ISubscriptionMap
}

function connectionLost(facts: MqttLinkFacts, action: string, cause: unknown): BridgeError {
  return new BridgeError(`${action} at '${facts.server}': the connection ended`, {
    code: 'LINK_LOST',
    cause,
  })
}
