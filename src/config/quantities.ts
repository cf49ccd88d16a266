const DURATION_UNITS: readonly (readonly [unit: string, milliseconds: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
]

const SIZE_UNITS: readonly (readonly [unit: string, bytes: number])[] = [
  ['GiB', 1_073_741_824],
  ['MiB', 1_048_576],
  ['KiB', 1024],
  ['B', 1],
]

/** What a duration looks like: `500ms`, `30s`, `4m`, `12h`, `7d`. */
export const DURATION_PATTERN = '^[0-9]+ ?(ms|s|m|h|d)$'

/** What a size looks like: `512B`, `64KiB`, `1MiB`, `1GiB`. */
export const SIZE_PATTERN = '^[0-9]+ ?(B|KiB|MiB|GiB)$'

const durationShape = new RegExp(DURATION_PATTERN)
const sizeShape = new RegExp(SIZE_PATTERN)

/** Milliseconds of a duration such as `30s`; undefined when it is none, or too long to count exactly. */
export function parseDuration(text: string): number | undefined {
  return durationShape.test(text) ? scaled(text, DURATION_UNITS) : undefined
}

/** A duration as people write it, in the largest unit that divides it. `milliseconds` is whole and not negative. */
export function formatDuration(milliseconds: number): string {
  return milliseconds === 0 ? '0s' : inLargestUnit(milliseconds, DURATION_UNITS)
}

/** Bytes of a size such as `64KiB`; undefined when it is none, or too large to count exactly. */
export function parseSize(text: string): number | undefined {
  return sizeShape.test(text) ? scaled(text, SIZE_UNITS) : undefined
}

/** A size as people write it, in the largest unit that divides it. `bytes` is whole and not negative. */
export function formatSize(bytes: number): string {
  return bytes === 0 ? '0B' : inLargestUnit(bytes, SIZE_UNITS)
}

function scaled(text: string, units: readonly (readonly [string, number])[]): number | undefined {
  const count = Number.parseInt(text, 10)
  const unit = text.replace(/^[0-9]+ ?/, '')
  const factor = Number(units.find(([name]) => name === unit)?.[1])
  const total = count * factor
  return Number.isSafeInteger(total) ? total : undefined
}

function inLargestUnit(total: number, units: readonly (readonly [string, number])[]): string {
  const exact = units.filter(([, factor]) => total % factor === 0)
  const [largest] = exact.map(([unit, factor]) => `${total / factor}${unit}`)
  return String(largest)
}
