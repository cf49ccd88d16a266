import { EMBEDDED, splitAddresses } from './addresses.ts'
import type { FormatName } from './formats.ts'

/**
 * How text becomes a value of another type, by format: what variables and flags hold is always text, and a
 * quoted number in a file means the number. Text that cannot be read stays text, for the format to refuse.
 */
const COERCIONS: Partial<Record<FormatName, (text: string) => unknown>> = {
  integer: numeral,
  startAt: numeral,
  boolean: truth,
  texts: (text) => [text],
  addresses: (text) => (text.trim() === EMBEDDED ? EMBEDDED : listed(text)),
  routes: (text) => {
    try {
      const value: unknown = JSON.parse(text)
      return Array.isArray(value) ? value : text
    } catch {
      return text
    }
  },
}

/** The value that text stands for in a setting of this format. */
export function coerce(name: FormatName, text: string): unknown {
  return COERCIONS[name]?.(text) ?? text
}

function numeral(text: string): unknown {
  return /^\s*-?[0-9]{1,16}\s*$/.test(text) ? Number(text) : text
}

function truth(text: string): unknown {
  const word = text.trim().toLowerCase()
  return word === 'true' || (word === 'false' ? false : text)
}

function listed(text: string): unknown {
  const items = splitAddresses(text)
  return items.length === 0 ? text : items
}
