const RESET = '\u001b[0m'
const DIM = '\u001b[2m'
const COLOURS: Readonly<Record<string, string>> = {
  debug: '\u001b[36m',
  info: '\u001b[32m',
  warn: '\u001b[33m',
  error: '\u001b[31m',
}

/** Characters that need no quotes in `name=value`. */
const PLAIN = /^[\w.:/@#$+*,;()<>%[\]-]+$/
const CONTROL = /\p{Cc}/gu

/**
 * Turns one JSON log line into a line for people:
 * `12:03:04.123 info  mqtt     connected  server=broker:1883`, in local time. A hint follows on its own line.
 * Control characters are shown as escapes, so that nothing logged can steer the terminal.
 */
export function prettyLine(json: string, colour: boolean): string {
  const { time, level, room, msg, hint, ...fields } = JSON.parse(json) as Record<string, unknown>
  const paint = (code: string, text: string): string => (colour ? code + text + RESET : text)
  const word = String(level)
  const parts = [
    paint(DIM, clockTime(new Date(String(time)))),
    paint(COLOURS[word] ?? '', word.padEnd(5)),
    paint(DIM, String(room).padEnd(8)),
    escapeControls(String(msg)),
  ]
  let line = parts.join(' ')
  for (const [name, value] of Object.entries(fields)) {
    line += `  ${paint(DIM, `${escapeControls(name)}=`)}${shown(value)}`
  }
  if (hint !== undefined) line += `\n             → ${escapeControls(String(hint))}`
  return `${line}\n`
}

function clockTime(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const millis = String(at.getMilliseconds()).padStart(3, '0')
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${millis}`
}

function shown(value: unknown): string {
  if (typeof value === 'string' && PLAIN.test(value)) return value
  return escapeControls(JSON.stringify(value) ?? 'undefined')
}

function escapeControls(text: string): string {
  return text.replace(CONTROL, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
