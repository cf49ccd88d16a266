// A topic and its subject correspond level by level:
//
//   topic    "" / a.b / x y / 温      levels, divided by "/"
//   subject  /  . a//b . x/20y . 温   tokens, divided by "."
//
// An empty level is the token "/", a dot inside a level is "//", and what nats-server refuses in a topic is
// "/" and two hex digits. nats-server itself writes "/" only alone in its token or doubled, so the third
// form collides with neither, and each subject has at most one topic.

const DOT = 0x2e
const SLASH = 0x2f
const DELETE = 0x7f

/** NUL, TAB, LF, FF, CR, space, DEL: a server that speaks MQTT itself closes the connection on these. */
const REFUSED = [0x00, 0x09, 0x0a, 0x0c, 0x0d, 0x20, DELETE]

/** How a character inside a level is written in a subject, by char code; absent: as itself. */
const WRITTEN: (string | undefined)[] = new Array(DELETE + 1).fill(undefined)
/** The way back: two hex digits to the character they stand for. */
const READ = new Map<string, string>()

for (const code of REFUSED) {
  const digits = code.toString(16).padStart(2, '0')
  WRITTEN[code] = `/${digits}`
  READ.set(digits, String.fromCharCode(code))
}
WRITTEN[DOT] = '//'

/** True when the topic holds a character that nats-server refuses and only our escape can carry. */
export function needsEscape(topic: string): boolean {
  for (let i = 0; i < topic.length; i++) {
    const code = topic.charCodeAt(i)
    if (!isPlain(code) && code !== DOT && code !== SLASH) return true
  }
  return false
}

/**
 * The NATS subject of an MQTT topic: the conversion nats-server does for its own MQTT clients, and beyond it
 * an escape for the characters that server refuses. Works on every string; a legal topic gives a legal
 * subject. Whole names only: the parts of a name do not convert on their own.
 */
export function topicToSubject(topic: string): string {
  let out = ''
  let copied = 0
  let levelStart = 0
  for (let i = 0; i < topic.length; i++) {
    const code = topic.charCodeAt(i)
    if (isPlain(code)) continue
    let written = WRITTEN[code]
    if (code === SLASH) {
      written = i === levelStart ? '/.' : '.'
      levelStart = i + 1
    }
    out += topic.slice(copied, i) + written
    copied = i + 1
  }
  if (copied === 0) return topic
  return levelStart === topic.length ? `${out}/` : out + topic.slice(copied)
}

/**
 * The MQTT topic whose conversion is this subject, or `undefined` when there is none: a slash in a place
 * the conversion never puts one (`foo/bar`), an empty token, a character that would have been escaped.
 * nats-server drops such slashes silently, so that several subjects become one topic; here none does.
 */
export function subjectToTopic(subject: string): string | undefined {
  if (subject === '/') return undefined
  let out = ''
  let copied = 0
  let tokenStart = 0
  for (let i = 0; i < subject.length; i = Math.max(i + 1, copied)) {
    if (isPlain(subject.charCodeAt(i))) continue
    const read = readUnit(subject, i, tokenStart)
    if (read === undefined) return undefined
    out += subject.slice(copied, i) + read
    copied = i + unitWidth(read)
    if (read === '/') tokenStart = copied
  }
  if (tokenStart === subject.length) return undefined
  return copied === 0 ? subject : out + subject.slice(copied)
}

/** True for a character that is the same in a topic and in its subject. */
function isPlain(code: number): boolean {
  if (code > SLASH) return code !== DELETE
  return code !== SLASH && WRITTEN[code] === undefined
}

/** What the characters from `at` on stand for in a topic: a division, nothing (an empty level), a dot, or an escaped character. */
function readUnit(subject: string, at: number, tokenStart: number): string | undefined {
  const code = subject.charCodeAt(at)
  if (code === DOT) return at === tokenStart ? undefined : '/'
  if (code !== SLASH) return undefined
  const next = at + 1 < subject.length ? subject.charCodeAt(at + 1) : DOT
  if (next === DOT) return at === tokenStart ? '' : undefined
  if (next === SLASH) return '.'
  return READ.get(subject.slice(at + 1, at + 3))
}

/** How many characters of the subject {@link readUnit} has read. */
function unitWidth(read: string): number {
  if (read === '/' || read === '') return 1
  return read === '.' ? 2 : 3
}

/**
 * The topic nats-server itself shows its MQTT clients for a subject: slashes it would not have written are
 * dropped and our escapes are not known. For comparing with that server; the bridge maps with
 * {@link subjectToTopic}.
 */
export function subjectToTopicLossy(subject: string): string {
  let out = ''
  for (let i = 0; i < subject.length; i++) {
    const char = subject.charAt(i)
    if (char === '.') out += '/'
    else if (char !== '/') out += char
    else if (subject.charAt(i + 1) === '.') {
      out += '/'
      i++
    } else if (subject.charAt(i + 1) === '/') {
      out += '.'
      i++
    }
  }
  return out
}

/**
 * The NATS wildcards that together match the subjects of exactly the topics an MQTT filter matches (but for
 * the `$` rule, which NATS does not have). `foo/#` covers `foo` itself and needs two. Levels `*` and `>` of
 * a filter are wildcards, as they are for nats-server.
 * @param filter a legal one, see `validFilter`
 */
export function filterToWildcards(filter: string): readonly string[] {
  const wildcard = topicToSubject(filter).replaceAll('+', '*').replaceAll('#', '>')
  return filter.endsWith('/#') ? [wildcard, wildcard.slice(0, -2)] : [wildcard]
}
