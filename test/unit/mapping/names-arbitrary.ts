import fc from 'fast-check'

/** Runs of the two main properties; the others take a share of it. */
export const RUNS = Number(process.env['FC_RUNS'] ?? 100_000)
export const SOME_RUNS = Math.ceil(RUNS / 20)

/** Pieces that matter to the conversion, so that short names meet every case and every neighbourhood. */
const PIECES = [
  ...['/', '/', '/', '.', '.', 'a', 'b', 'foo', '20', '2f', '0', '*', '>', '$', '$JS', '_INBOX'],
  ...[' ', '\t', '\n', '\f', '\r', '\0', '\u007f', '\v', '\\', ':', 'é', '温', '😀', '\u00a0'],
]
const WILDCARDS = /[+#]/g

const awkward = fc.string({ unit: fc.constantFrom(...PIECES), minLength: 1, maxLength: 12 })
const anything = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 20 })
  .map((text) => text.replace(WILDCARDS, 'x').replaceAll('\ufffd', 'y'))

/** Any topic the standard allows to be published, and some it does not (NUL), without U+FFFD. */
export const topics = fc.oneof({ weight: 4, arbitrary: awkward }, anything)

/** Any text a subject could be made of, legal or not. */
export const subjects = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: fc.constantFrom('/', '/', '.', '.', ...PIECES) }) },
  fc.string({ unit: fc.constantFrom('/', '.', 'a', '2', '0'), maxLength: 8 }),
  anything,
)

const level = fc.constantFrom('a', 'b', '', '$x', 'a.b', 'x y', '.', 'é')
const filterLevel = fc.oneof(level, fc.constantFrom('+', '+', '*'))
const lastLevel = fc.oneof(level, fc.constantFrom('+', '#', '#', '>', '*'))

/** A legal filter of one to four levels. */
export const filters = fc
  .tuple(fc.array(filterLevel, { maxLength: 3 }), lastLevel)
  .map(([levels, last]) => [...levels, last].join('/'))
  .filter((filter) => filter !== '')

/** A topic that a filter matches (but for the `$` rule), its wildcards filled with the first of `spare`. */
export function fill(filter: string, spare: readonly string[], extra: number): string {
  const levels = filter.split('/').flatMap((one, at) => {
    if (one === '#') return spare.slice(0, extra)
    if (one === '>') return spare.slice(0, extra + 1)
    return one === '+' || one === '*' ? [spare[at] ?? 'a'] : [one]
  })
  return levels.join('/')
}

/** Levels to {@link fill} wildcards with, and how many of them a last wildcard takes. */
export const filling = fc.tuple(fc.array(level, { minLength: 4, maxLength: 4 }), fc.nat(2))

/** A filter, and a topic that was made from it and so often matches, or was not and seldom does. */
export const filterAndTopic = fc
  .tuple(filters, filling, fc.boolean())
  .map(([filter, [spare, extra], isMade]) => ({
    filter,
    topic: isMade ? fill(filter, spare, extra) : spare.slice(extra).join('/'),
  }))
  .filter(({ topic }) => topic !== '')
