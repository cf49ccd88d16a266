import { BridgeError } from '../core/errors.ts'

/** Standard input, as far as a password is read from it. */
export interface PasswordInput extends AsyncIterable<Buffer | string> {
  readonly isTTY?: boolean
  setRawMode?(on: boolean): unknown
}

/** Longest password taken, bytes: as long as MQTT can send. */
const MAX_BYTES = 65_535
const ENTER = /[\r\n]/
const INTERRUPT = '\u0003'
const END = '\u0004'
const RUBOUT = /[\b\u007f]/

/**
 * Reads a password: on a terminal typed after a prompt and not shown, else the first line of the input.
 * Throws `BridgeError` USAGE when there is none, or when typing was broken off.
 */
export async function readPassword(
  input: PasswordInput,
  prompt: (text: string) => void,
): Promise<string> {
  const isTyped = input.isTTY === true
  if (isTyped) {
    prompt('password: ')
    input.setRawMode?.(true)
  }
  try {
    const password = isTyped ? await typed(input) : await firstLine(input)
    if (password === '')
      throw new BridgeError('reading the password: it is empty', { code: 'USAGE' })
    return password
  } finally {
    if (isTyped) {
      input.setRawMode?.(false)
      prompt('\n')
    }
  }
}

async function firstLine(input: PasswordInput): Promise<string> {
  let bytes = Buffer.alloc(0)
  for await (const chunk of input) {
    bytes = Buffer.concat([bytes, Buffer.from(chunk)])
    if (bytes.includes(10) || bytes.length > MAX_BYTES) break
  }
  const [line = ''] = bytes.toString('utf8').split(ENTER, 1)
  return bounded(line)
}

async function typed(input: PasswordInput): Promise<string> {
  let password = ''
  for await (const chunk of input) {
    for (const char of chunk.toString()) {
      if (char === INTERRUPT) {
        throw new BridgeError('reading the password: broken off', { code: 'USAGE' })
      }
      if (ENTER.test(char) || char === END) return bounded(password)
      password = RUBOUT.test(char) ? [...password].slice(0, -1).join('') : password + char
    }
  }
  return bounded(password)
}

function bounded(password: string): string {
  if (Buffer.byteLength(password) <= MAX_BYTES) return password
  const text = `reading the password: it is longer than ${MAX_BYTES} bytes`
  throw new BridgeError(text, { code: 'USAGE' })
}
