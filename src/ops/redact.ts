/** Field names that hold a secret, also as the end of a longer name (`natsToken`), never a path to one (`tokenFile`). */
const SECRET_NAME = /(?:password|passphrase|token|seed|jwt|creds|secret)$/i

/** Secrets in running text: user info of a URL, a JWT, an nkey seed. */
const URL_USER_INFO = /(:\/\/)[^\s/@]+@/g
const JWT = /\beyJ[\w-]+\.[\w-]+\.[\w-]*/g
const SEED = /\bS[ACNOUX][A-Z2-7]{56}\b/g

/** Names a log line has itself; a field that uses one is shown with a trailing underscore. */
const OWN_NAMES = new Set(['time', 'level', 'room', 'msg'])

const MASK = '[redacted]'
const MAX_DEPTH = 6

/** Masks what looks like a credential in text that came from elsewhere, such as the message of a library error. */
export function scrub(text: string): string {
  return text.replace(URL_USER_INFO, `$1${MASK}@`).replace(JWT, MASK).replace(SEED, MASK)
}

/**
 * The fields of a log line without secrets: whatever is named like one is masked and all text is scrubbed.
 * The second line of defence; the first is that secrets are never handed to the log.
 */
export function redactFields(fields: object): Record<string, unknown> {
  const clean: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    clean[OWN_NAMES.has(name) ? `${name}_` : name] = redact(name, value, 0)
  }
  return clean
}

function redact(name: string, value: unknown, depth: number): unknown {
  if (SECRET_NAME.test(name) && value !== undefined) return MASK
  if (typeof value === 'string') return scrub(value)
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Error) return scrub(value.message)
  if (value instanceof Uint8Array) return `[${value.length} bytes]`
  if (depth >= MAX_DEPTH) return '[deep]'
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    return redact(name, value.toJSON(), depth + 1)
  }
  if (Array.isArray(value)) return value.map((item) => redact('', item, depth + 1))
  const clean: Record<string, unknown> = {}
  for (const [key, inner] of Object.entries(value)) clean[key] = redact(key, inner, depth + 1)
  return clean
}
