import type { BridgeReport } from '../core/status.ts'

/**
 * Whether the process makes progress. That the question is answered at all shows that the event loop turns,
 * so only a bridge that has stopped is not alive. A side that is away never counts: a restart would not help.
 */
export function isLive(report: BridgeReport): boolean {
  return report.state !== 'stopped'
}

/** Whether messages can be taken and delivered, and if not why: one line each, beginning with the side. */
export interface Readiness {
  readonly ready: boolean
  readonly reasons: readonly string[]
}

/** Readiness as the bridge reports it; never "not ready" without a reason. */
export function readiness(report: BridgeReport): Readiness {
  if (report.ready) return { ready: true, reasons: [] }
  if (report.reasons.length > 0) return { ready: false, reasons: report.reasons }
  const reasons: string[] = []
  for (const link of [report.links.mqtt, report.links.nats]) {
    if (link.state !== 'connected') reasons.push(`${link.side}: ${link.state}`)
  }
  return { ready: false, reasons: reasons.length > 0 ? reasons : [`bridge: ${report.state}`] }
}
