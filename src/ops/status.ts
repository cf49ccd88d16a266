import { DROP_REASONS } from '../core/books.ts'
import type { LinkReport } from '../core/ports.ts'
import type { BridgeReport, FlowReport, RouteReport } from '../core/status.ts'
import { readiness } from './health.ts'
import { scrub } from './redact.ts'

/**
 * The JSON of `/status`: everything the bridge tells about itself, numbers as numbers, times as ISO 8601 in
 * UTC (null = never), durations in seconds, sizes in bytes. Text that came from a peer is scrubbed.
 */
export function toStatusJson(report: BridgeReport): Record<string, unknown> {
  const { ready, reasons } = readiness(report)
  return {
    ready,
    reasons: reasons.map(scrub),
    state: report.state,
    startedAt: isoTime(report.startedAt),
    connections: { mqtt: linkJson(report.links.mqtt), nats: linkJson(report.links.nats) },
    routes: report.routes.map(routeJson),
    flows: report.flows.map(flowJson),
    expiries: report.expiries.map((expiry) => ({
      credential: expiry.credential,
      account: expiry.account,
      expiresAt: isoTime(expiry.expiresAt * 1000),
    })),
    lastErrors: report.lastErrors.map(errorJson),
    versions: { bridge: report.version, node: process.versions.node },
  }
}

function linkJson(link: LinkReport): Record<string, unknown> {
  return {
    state: link.state,
    since: isoTime(link.since),
    server: scrub(link.server),
    protocol: link.protocol,
    tlsVersion: link.tlsVersion,
    serverVersion: scrub(link.serverVersion),
    connects: link.connects,
    reconnects: link.reconnects,
    disconnects: link.disconnects,
    failures: Object.fromEntries(link.failures),
    authErrors: link.authErrors,
    subscriptions: link.subscriptions,
    rttSeconds: link.rtt,
    serverCertNotAfter: isoTime(link.serverCertNotAfter * 1000),
    reasons: link.reasons.map(scrub),
    lastError: link.lastError === undefined ? null : errorJson(link.lastError),
  }
}

function routeJson(route: RouteReport): Record<string, unknown> {
  const { books } = route
  return {
    name: route.name,
    direction: route.direction,
    delivery: route.delivery,
    streams: route.streams,
    received: books.receivedTotal,
    forwarded: books.forwardedTotal,
    filtered: books.filtered,
    dropped: droppedJson(books.dropped),
    deadLettered: books.deadLettered,
    inFlight: books.inFlight,
    window: route.window,
    retried: books.retried,
    loopsSuppressed: books.loopsSuppressed,
    bytes: { received: books.receivedBytes, forwarded: books.forwardedBytes },
    lastForwardedAt: isoTime(books.lastForwardedAt),
  }
}

/** Only the reasons that occurred. */
function droppedJson(dropped: Float64Array): Record<string, number> {
  const shown: Record<string, number> = {}
  for (const [at, reason] of DROP_REASONS.entries()) {
    const count = dropped[at] ?? 0
    if (count !== 0) shown[reason] = count
  }
  return shown
}

function flowJson(flow: FlowReport): Record<string, unknown> {
  return {
    direction: flow.direction,
    inFlight: flow.inFlight,
    limit: flow.limit,
    bytes: flow.bytes,
    limitBytes: flow.limitBytes,
    heldBack: flow.heldBack,
    heldSeconds: flow.heldSeconds,
    oldestSeconds: flow.oldestSeconds,
  }
}

function errorJson(error: BridgeReport['lastErrors'][number]): Record<string, unknown> {
  return {
    at: isoTime(error.at),
    code: error.code,
    message: scrub(error.message),
    hint: error.hint,
  }
}

/** @param at milliseconds since the epoch, 0 = never */
function isoTime(at: number): string | null {
  return at === 0 ? null : new Date(at).toISOString()
}
