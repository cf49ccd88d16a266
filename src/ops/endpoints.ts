import type { BridgeReport } from '../core/status.ts'
import { isLive, readiness } from './health.ts'
import { type Handler, send, sendJson, sendText } from './http.ts'
import type { Metrics } from './metrics.ts'
import { toStatusJson } from './status.ts'

/** The pages every bridge has: `/livez`, `/readyz`, `/status`, `/metrics`. */
export function opsEndpoints(
  report: () => BridgeReport,
  metrics: Metrics,
): Readonly<Record<string, Handler>> {
  return {
    '/livez': (_, response) => {
      const live = isLive(report())
      sendText(response, live ? 200 : 503, live ? 'ok\n' : 'stopped\n')
    },
    '/readyz': (request, response) => {
      const state = readiness(report())
      const status = state.ready ? 200 : 503
      if (request.headers.accept?.includes('application/json')) sendJson(response, status, state)
      else sendText(response, status, state.ready ? 'ready\n' : `${state.reasons.join('\n')}\n`)
    },
    '/status': (_, response) => sendJson(response, 200, toStatusJson(report())),
    '/metrics': async (request, response) => {
      const { contentType, body } = await metrics.render(request.headers.accept)
      send(response, 200, contentType, body)
    },
  }
}
