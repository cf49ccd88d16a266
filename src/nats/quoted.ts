const NAMED: ReadonlyMap<string, string> = new Map([
  ['a', '\u0007'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['v', '\v'],
])

const ESCAPE = /\\(?:x([\da-f]{2})|u([\da-f]{4})|U([\da-f]{8})|(.))/g

/**
 * Reads a text the way nats-server quotes subjects in its complaints, without the quotes around it.
 * Source: Go's `%q`: backslash escapes for quotes, backslashes and what cannot be printed.
 */
export function unquoted(text: string): string {
  return text.replace(ESCAPE, (_, byte?: string, short?: string, long?: string, name?: string) => {
    const code = byte ?? short ?? long
    if (code !== undefined)
      return String.fromCodePoint(Math.min(Number.parseInt(code, 16), 0x10ffff))
    return NAMED.get(name ?? '') ?? name ?? ''
  })
}

const DENIED = /Permissions Violation for (Publish|Subscription) to "((?:[^"\\]|\\.)*)"/i

/**
 * What an `-ERR` says the user may not do; undefined when it says something else.
 * Source: nats-server server/client.go, pubPermissionViolation and subPermissionViolation.
 */
export function readDenial(text: string): { publish: boolean; subject: string } | undefined {
  const denied = DENIED.exec(text)
  if (denied === null) return undefined
  const publish = denied[1]?.toLowerCase() === 'publish'
  return { publish, subject: unquoted(denied[2] as string) }
}
