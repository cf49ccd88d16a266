import type { RouteConfig } from '../core/config.ts'
import {
  accept,
  choice,
  duration,
  type Format,
  integer,
  type Mistake,
  type Parsed,
  refuse,
  show,
  text,
} from './formats.ts'
import { optional, required, setting } from './setting.ts'

const DAY = 86_400_000
const LONGEST_TOPIC = 65_535

/** Keys of one route. */
export const ROUTE_SETTINGS = {
  name: optional(
    text('a name', 256),
    'Name in `/status`, metrics and logs; no two routes share one.',
    'the pattern, numbered when it repeats',
  ),
  pattern: required(
    text('an MQTT filter such as "#"', LONGEST_TOPIC),
    'MQTT filter over x, the name without the prefixes.',
  ),
  direction: setting(
    choice(['both', 'mqttToNats', 'natsToMqtt']),
    'both',
    'Which way messages go.',
  ),
  qos: setting(
    choice([0, 1, 2]),
    1,
    'Ceiling of the QoS on the far side; also the QoS of a NATS message that names none.',
  ),
  mqttPrefix: setting(prefix('+#'), '', 'Stands before x on MQTT: `mqtt/`.'),
  natsPrefix: setting(
    prefix('+#*>'),
    '',
    'Stands before x on NATS, in topic form: `site/a/` becomes `site.a.`.',
  ),
  exclude: setting(
    texts('MQTT filters such as "$SYS/#"'),
    [],
    'MQTT filters over x; an excluded message goes on to the next route.',
  ),
  delivery: setting(
    choice(['auto', 'live', 'confirmed', 'durable']),
    'auto',
    '`live` forgets what cannot be sent now, `confirmed` waits for the server, `durable` for the stream; `auto` takes live for QoS 0, else durable where a stream covers the subject, else confirmed.',
  ),
  class: setting(
    choice(['event', 'state', 'command', 'live']),
    'event',
    'What an outage does: `event` keeps all in order, `state` the newest of each topic, `command` expires after `ttl`, `live` is never queued.',
  ),
  ttl: optional(
    duration('ms', 1, 365 * DAY),
    'Age at which a message expires; with class `command` only.',
    'no expiry',
  ),
  retain: setting(choice(['keep', 'strip', 'force']), 'keep', 'What becomes of the retained flag.'),
  unmappable: setting(
    choice(['escape', 'deadLetter']),
    'escape',
    'What becomes of a topic that NATS has no name for: a reversible escape, or the dead letters.',
  ),
  oversize: setting(
    choice(['deadLetter', 'objectStore']),
    'deadLetter',
    'What becomes of a payload larger than the server takes.',
  ),
  startAt: setting(
    startAt(),
    'new',
    'Where a new durable consumer begins: `new`, `all`, a time such as `2026-01-31T12:00:00Z`, or a stream sequence.',
  ),
  drainRate: optional(
    integer(1, 1_000_000),
    'Messages per second sent from a backlog after an outage.',
    'as fast as it goes',
  ),
  onConflict: setting(
    choice(['mqtt', 'nats', 'newest']),
    'mqtt',
    'Which retained value wins when both sides changed it.',
  ),
}

/** Start of a name: may be empty, holds none of `wildcards`. */
function prefix(wildcards: string): Format<string> {
  const syntax = `the start of a topic without ${[...wildcards].join(' ')}, such as mqtt/`
  return {
    name: 'text',
    syntax,
    schema: { type: 'string', pattern: `^[^${wildcards}\\u0000]*$` },
    parse: (value) => {
      if (typeof value !== 'string') return refuse(`${show(value)} is not text: write ${syntax}`)
      const found = [...value].find((char) => wildcards.includes(char))
      if (found !== undefined) return refuse(`${show(value)} holds '${found}': write ${syntax}`)
      if (/[\0\p{Cs}]/u.test(value)) return refuse(`${show(value)} is no topic: write ${syntax}`)
      return value.length > LONGEST_TOPIC
        ? refuse(`is too long: write at most ${LONGEST_TOPIC} characters`)
        : accept(value)
    },
  }
}

/** A list of texts, or one alone. */
function texts(syntax: string): Format<readonly string[]> {
  const one = text(syntax, LONGEST_TOPIC)
  return {
    name: 'texts',
    syntax: `a list of ${syntax}`,
    schema: { type: 'array', items: one.schema },
    parse: (value): Parsed<readonly string[]> => {
      if (!Array.isArray(value))
        return refuse(`${show(value)} is no list: write a list of ${syntax}`)
      const mistakes: Mistake[] = []
      const items: string[] = []
      value.forEach((item: unknown, index) => {
        const parsed = one.parse(item)
        if (parsed.ok) items.push(parsed.value)
        else mistakes.push(...parsed.mistakes.map((found) => ({ ...found, at: `[${index}]` })))
      })
      return mistakes.length > 0 ? { ok: false, mistakes } : accept(items)
    },
  }
}

function startAt(): Format<RouteConfig['startAt']> {
  const syntax = 'new, all, a time such as 2026-01-31T12:00:00Z, or a sequence from 1 on'
  const time = '^\\d{4}-\\d\\d-\\d\\d(T\\d\\d:\\d\\d(:\\d\\d(\\.\\d+)?)?(Z|[+-]\\d\\d:\\d\\d))?$'
  return {
    name: 'startAt',
    syntax,
    schema: {
      anyOf: [
        { enum: ['new', 'all'] },
        { type: 'string', pattern: time },
        { type: 'integer', minimum: 1 },
      ],
    },
    parse: (value) => {
      if (value === 'new' || value === 'all') return accept(value)
      if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) {
        return accept({ sequence: value })
      }
      const isTime = typeof value === 'string' && new RegExp(time).test(value)
      const at = isTime ? Date.parse(value) : Number.NaN
      return Number.isNaN(at)
        ? refuse(`${show(value)} is no place to start: write ${syntax}`)
        : accept({ time: new Date(at).toISOString() })
    },
  }
}
