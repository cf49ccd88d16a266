import type { RouteConfig } from '../../../src/core/config.ts'

const DEFAULTS: RouteConfig = {
  name: '#',
  pattern: '#',
  direction: 'both',
  qos: 1,
  mqttPrefix: '',
  natsPrefix: '',
  exclude: [],
  delivery: 'auto',
  class: 'event',
  retain: 'keep',
  unmappable: 'escape',
  oversize: 'deadLetter',
  startAt: 'new',
  onConflict: 'newest',
}

/** A route with what is given, named after its pattern. */
export function route(given: Partial<RouteConfig> = {}): RouteConfig {
  return { ...DEFAULTS, name: given.pattern ?? '#', ...given }
}
