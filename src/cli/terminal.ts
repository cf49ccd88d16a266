/** Where a command writes: results to one stream, everything else to the other. */
export interface Terminal {
  /** Results: standard output. */
  out(text: string): void
  /** Progress, warnings, errors: standard error. */
  err(text: string): void
  /** Whether results may be coloured: standard output is a terminal and nobody asked for plain text. */
  readonly colour: boolean
}

const RESET = '\u001b[0m'
const CODES = {
  bold: '\u001b[1m',
  dim: '\u001b[2m',
  red: '\u001b[31m',
  green: '\u001b[32m',
  yellow: '\u001b[33m',
  cyan: '\u001b[36m',
} as const

/** Name of a way to paint text. */
export type Paint = (style: keyof typeof CODES, text: string) => string

/** Paints text, or leaves it as it is where colours do not belong. */
export function painter(colour: boolean): Paint {
  return (style, text) => (colour ? CODES[style] + text + RESET : text)
}

/** Makes text from elsewhere safe for a terminal: control characters become escapes. */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => {
    const code = (char.codePointAt(0) ?? 0).toString(16)
    return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, '0')}`
  })
}
