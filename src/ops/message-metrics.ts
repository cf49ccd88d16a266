import { DROP_REASONS, type DropReason } from '../core/books.ts'
import { DIRECTIONS } from '../core/config.ts'
import type { RouteReport } from '../core/status.ts'
import { counter, durationHistogram, gauge, type MetricDefinition } from './metric-definition.ts'
import {
  directionLabel,
  perFlow,
  perQos,
  perRoute,
  type RouteGroup,
  type Sample,
  snake,
  total,
} from './metric-scene.ts'

/** Entry of the books for what no route took. */
const NO_ROUTE = '(none)'
const DROPPED_AS_DUPLICATE = DROP_REASONS.indexOf('duplicate')

/** What becomes of messages, from the books and windows. Per route: received = forwarded + filtered + dropped + deduplicated + dead lettered + in flight. */
export const MESSAGE_METRICS: readonly MetricDefinition[] = [
  counter(
    'messages_received_total',
    ['direction', 'route', 'qos'],
    'Messages taken from the source, by QoS of the message as it came in',
    perQos((books) => books.received),
  ),
  counter(
    'messages_forwarded_total',
    ['direction', 'route', 'qos'],
    'Messages the far side has, by QoS of the message as it came in',
    perQos((books) => books.forwarded),
  ),
  counter(
    'messages_filtered_total',
    ['direction', 'route'],
    'Messages not meant for the far side: own echoes and copies another route owns',
    perRoute((books) => books.filtered),
  ),
  counter(
    'messages_dropped_total',
    ['direction', 'route', 'reason'],
    'Messages let go on purpose, by reason; recognised duplicates are counted apart',
    ({ groups }) => groups.flatMap(droppedOf),
  ),
  counter(
    'messages_dead_lettered_total',
    ['direction', 'route'],
    'Messages set aside because they can never be delivered',
    perRoute((books) => books.deadLettered),
  ),
  counter(
    'messages_retried_total',
    ['direction', 'route'],
    'Messages sent again after a reconnect or a refusal that may pass',
    perRoute((books) => books.retried),
  ),
  counter(
    'messages_deduplicated_total',
    ['direction', 'route'],
    'Messages received again and recognised, so not forwarded twice',
    perRoute((books) => books.dropped[DROPPED_AS_DUPLICATE] ?? 0),
  ),
  counter(
    'loops_suppressed_total',
    ['direction', 'route'],
    'Messages that came back with the origin of this bridge; part of the filtered ones',
    perRoute((books) => books.loopsSuppressed),
  ),
  counter(
    'received_bytes_total',
    ['direction', 'route'],
    'Payload bytes of received messages',
    perRoute((books) => books.receivedBytes),
  ),
  counter(
    'forwarded_bytes_total',
    ['direction', 'route'],
    'Payload bytes of forwarded messages',
    perRoute((books) => books.forwardedBytes),
  ),
  durationHistogram(
    'forward_duration_seconds',
    'Time from receiving a message to its acknowledgement by the far side',
  ),
  gauge(
    'last_forwarded_timestamp_seconds',
    ['direction', 'route'],
    'When a message was last forwarded, seconds since the epoch; 0 = never',
    ({ groups }) => groups.map(lastForwardedOf),
  ),
  gauge(
    'inflight_messages',
    ['direction'],
    'Messages of QoS 1 and 2 taken and not settled',
    perFlow((flow) => flow.inFlight),
  ),
  gauge(
    'inflight_limit_messages',
    ['direction'],
    'How many messages may be in flight',
    perFlow((flow) => flow.limit),
  ),
  gauge(
    'queue_bytes',
    ['direction'],
    'Bytes held for messages in flight',
    perFlow((flow) => flow.bytes),
  ),
  gauge(
    'queue_limit_bytes',
    ['direction'],
    'How many bytes may be held for messages in flight',
    perFlow((flow) => flow.limitBytes),
  ),
  gauge(
    'queue_oldest_message_timestamp_seconds',
    ['direction'],
    'When the oldest unsettled message was taken, seconds since the epoch; absent when there is none',
    ({ report, extras }) =>
      report.flows
        .filter((flow) => flow.oldestSeconds > 0)
        .map((flow) => ({
          labels: { direction: directionLabel(flow.direction) },
          value: extras.now() / 1000 - flow.oldestSeconds,
        })),
  ),
  counter(
    'backpressure_seconds_total',
    ['direction', 'cause'],
    'Time the source was held back, by cause',
    ({ report }) =>
      report.flows.flatMap((flow) =>
        Object.entries(flow.heldSeconds).map(([cause, value]) => ({
          labels: { direction: directionLabel(flow.direction), cause: snake(cause) },
          value,
        })),
      ),
  ),
  gauge(
    'backpressure_active',
    ['direction'],
    '1 while the source is held back',
    perFlow((flow) => Number(flow.heldBack)),
  ),
  gauge(
    'routes',
    ['direction', 'state'],
    'Routes by state: active, or no_stream for a durable route that no stream covers',
    ({ report }) => routeStates(report.routes),
  ),
]

function droppedOf(group: RouteGroup): Sample[] {
  const { direction, route } = group
  const samples: Sample[] = []
  for (const [at, reason] of DROP_REASONS.entries()) {
    if (reason === 'duplicate') continue
    const value = total(group, (books) => books.dropped[at] ?? 0)
    if (value === 0 && !applies(reason, direction, route)) continue
    samples.push({ labels: { direction, route, reason: snake(reason) }, value })
  }
  return samples
}

/** Whether a reason can occur, so that it is shown before it does and `increase()` sees the first one. */
function applies(reason: DropReason, direction: string, route: string): boolean {
  if (route === NO_ROUTE || reason === 'noRoute') return route === NO_ROUTE && reason === 'noRoute'
  return reason !== 'noStream' || direction === directionLabel('mqttToNats')
}

function lastForwardedOf({ direction, route, books }: RouteGroup): Sample {
  const last = Math.max(...books.map((each) => each.lastForwardedAt))
  return { labels: { direction, route }, value: last / 1000 }
}

function routeStates(routes: readonly RouteReport[]): Sample[] {
  const samples: Sample[] = []
  for (const direction of DIRECTIONS) {
    const named = routes.filter((route) => route.direction === direction && route.name !== NO_ROUTE)
    const without = named.filter(lacksStream).length
    const labels = { direction: directionLabel(direction) }
    samples.push({ labels: { ...labels, state: 'active' }, value: named.length - without })
    samples.push({ labels: { ...labels, state: 'no_stream' }, value: without })
  }
  return samples
}

function lacksStream(route: RouteReport): boolean {
  return route.delivery === 'durable' && route.streams.length === 0
}
