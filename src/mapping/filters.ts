import { findUnsafe, isIntact, isLonger, MAX_TOPIC_BYTES } from './names.ts'

/** How a name divides and which characters, alone in their part, are wildcards. */
interface Grammar {
  readonly separator: string
  /** Stand for one part. */
  readonly one: string
  /** Stand for one or more parts, at the end. */
  readonly rest: string
}

// nats-server reads `*` and `>` in a filter as wildcards, and so does the NATS side of a route. Reading them
// so everywhere leaves no filter that means one thing here and another there.
const FILTER: Grammar = { separator: '/', one: '+*', rest: '#>' }
const WILDCARD: Grammar = { separator: '.', one: '*', rest: '>' }

/** What is wrong with an MQTT filter, or `undefined` when it is legal [MQTT-4.7.1]. */
export function validFilter(filter: string): string | undefined {
  if (filter === '') return "is empty; use '#' for everything"
  if (isLonger(filter, MAX_TOPIC_BYTES)) return `is longer than ${MAX_TOPIC_BYTES} bytes`
  const unsafe = findUnsafe(filter)
  if (unsafe !== undefined) return `holds ${unsafe}, on which brokers close the connection`
  if (!isIntact(filter)) return 'is not valid Unicode'
  const levels = filter.split('/')
  for (const [at, level] of levels.entries()) {
    if (level.length > 1 && (level.includes('+') || level.includes('#'))) {
      return `has '+' or '#' inside the level '${level}'; a wildcard is a level of its own`
    }
    if ((level === '#' || level === '>') && at < levels.length - 1) {
      return `has levels after '${level}', which must be the last`
    }
  }
  return undefined
}

/** True when the filter begins with a wildcard; such a filter matches no name that begins with `$` [MQTT-4.7.2-1]. */
export function startsWithWildcard(filter: string): boolean {
  const end = partEnd(filter, 0, '/')
  return end === 1 && '+#*>'.includes(filter.charAt(0))
}

/** Whether a legal filter matches a topic, by the rules of MQTT: `x/#` covers `x`, `$` is out of a leading wildcard's reach. */
export function matchTopic(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && startsWithWildcard(filter)) return false
  return matchParts(filter, topic, FILTER)
}

/** Whether a legal NATS wildcard matches a subject, by the rules of NATS: `>` is one token or more, `$` is a character like others. */
export function matchSubject(wildcard: string, subject: string): boolean {
  return matchParts(wildcard, subject, WILDCARD)
}

function matchParts(pattern: string, name: string, grammar: Grammar): boolean {
  const { separator, one, rest } = grammar
  let p = 0
  let n = 0
  for (;;) {
    const pEnd = partEnd(pattern, p, separator)
    const single = pEnd === p + 1 ? pattern.charAt(p) : separator
    if (rest.includes(single) && pEnd === pattern.length) return true
    const nEnd = partEnd(name, n, separator)
    if (!one.includes(single) && pattern.slice(p, pEnd) !== name.slice(n, nEnd)) return false
    const nameEnds = nEnd === name.length
    if (pEnd === pattern.length) return nameEnds
    p = pEnd + 1
    if (nameEnds) return separator === '/' && p === pattern.length - 1 && pattern.endsWith('#')
    n = nEnd + 1
  }
}

function partEnd(text: string, from: number, separator: string): number {
  const at = text.indexOf(separator, from)
  return at < 0 ? text.length : at
}

/** The filter as a broker must be told it, without `*` and `>`, which brokers take literally: `a/>` becomes `a/+/#`. */
export function plainFilter(filter: string): string {
  return plainLevels(filter).join('/')
}

function plainLevels(filter: string): string[] {
  const levels = filter.split('/').map((level) => (level === '*' ? '+' : level))
  if (levels.at(-1) === '>') levels.splice(-1, 1, '+', '#')
  // Every topic has a level, so these two say the same; one spelling keeps comparisons exact.
  return levels.length === 2 && levels[0] === '+' && levels[1] === '#' ? ['#'] : levels
}

/** Whether filter `a` matches every topic that filter `b` matches. */
export function covers(a: string, b: string): boolean {
  if (isHidden(a, b)) return false
  const wide = plainLevels(a)
  const narrow = plainLevels(b)
  for (let i = 0; ; i++) {
    const level = wide[i]
    const other = narrow[i]
    if (level === '#') return true
    if (level === undefined || other === undefined) return level === other
    if (other === '#' || (level !== '+' && level !== other)) return false
  }
}

/** Whether some topic matches both filters. */
export function overlaps(a: string, b: string): boolean {
  if (isHidden(a, b) || isHidden(b, a)) return false
  const left = plainLevels(a)
  const right = plainLevels(b)
  for (let i = 0; ; i++) {
    const level = left[i]
    const other = right[i]
    if (level === '#' || other === '#') return true
    if (level === undefined || other === undefined) return level === other
    if (level !== '+' && other !== '+' && level !== other) return false
  }
}

/** True when every name of `b` begins with `$` and is therefore out of reach of `a`. */
function isHidden(a: string, b: string): boolean {
  return b.startsWith('$') && startsWithWildcard(a)
}

/** Whether NATS wildcard `a` matches every subject that wildcard `b` matches. */
export function wildcardCovers(a: string, b: string): boolean {
  const wide = a.split('.')
  const narrow = b.split('.')
  for (let i = 0; ; i++) {
    const token = wide[i]
    const other = narrow[i]
    if (token === undefined || other === undefined) return token === other
    if (token === '>') return true
    if (other === '>' || (token !== '*' && token !== other)) return false
  }
}

/** The NATS wildcard that matches exactly the subjects both match; `undefined` when there are none. */
export function wildcardsIntersect(a: string, b: string): string | undefined {
  const left = a.split('.')
  const right = b.split('.')
  const both: string[] = []
  for (let i = 0; ; i++) {
    const token = left[i]
    const other = right[i]
    if (token === undefined || other === undefined) {
      return token === other ? both.join('.') : undefined
    }
    if (token === '>') return [...both, ...right.slice(i)].join('.')
    if (other === '>') return [...both, ...left.slice(i)].join('.')
    const common = narrower(token, other)
    if (common === undefined) return undefined
    both.push(common)
  }
}

function narrower(token: string, other: string): string | undefined {
  if (token === '*' || token === other) return other
  return other === '*' ? token : undefined
}

/**
 * The entries that no other entry covers, in their order; of two that cover each other the first stays.
 * @param covering {@link covers} for MQTT filters, {@link wildcardCovers} for NATS wildcards
 */
export function minimalCover(
  list: readonly string[],
  covering: (a: string, b: string) => boolean = covers,
): readonly string[] {
  return list.filter((entry, at) =>
    list.every((other, otherAt) => {
      if (otherAt === at || !covering(other, entry)) return true
      return at < otherAt && covering(entry, other)
    }),
  )
}

/**
 * Filters of which no two overlap and that together match at least what the given ones match: those that
 * overlap are merged into a wider one. For brokers that send one copy per subscription without telling
 * which; the price is to be sent topics that no route takes.
 */
export function widenToDisjoint(filters: readonly string[]): readonly string[] {
  let disjoint: string[] = []
  for (const filter of filters) {
    let merged = plainFilter(filter)
    for (;;) {
      const current = merged
      const touched = disjoint.filter((other) => overlaps(other, current))
      if (touched.length === 0) break
      disjoint = disjoint.filter((other) => !touched.includes(other))
      merged = touched.reduce(join, current)
    }
    disjoint.push(merged)
  }
  return disjoint
}

/** The narrowest filter, level by level, that covers two overlapping ones. */
function join(a: string, b: string): string {
  const left = plainLevels(a)
  const right = plainLevels(b)
  const joined: string[] = []
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const level = left[i]
    const other = right[i]
    if (level === undefined || other === undefined || level === '#' || other === '#') {
      joined.push('#')
      break
    }
    joined.push(level === other ? level : '+')
  }
  return plainFilter(joined.join('/'))
}
