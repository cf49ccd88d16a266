import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { inspect } from 'node:util'
import type { Secret } from '../core/config.ts'
import { BridgeError, toBridgeError } from '../core/errors.ts'

/** What is printed in the place of a secret. */
export const REDACTED = '[redacted]'

/** Largest secret file that is read, bytes. */
const MAX_BYTES = 65_536

/** A secret written into the configuration. */
export class InlineSecret implements Secret {
  readonly origin = 'inline'
  readonly #value: string

  constructor(value: string) {
    this.#value = withoutLineEnd(value)
  }

  read(): string {
    return this.#value
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}

/** A secret in a file, read anew each time, so that a replaced file counts from the next connect on. */
export class FileSecret implements Secret {
  readonly file: string

  /** @param file absolute path */
  constructor(file: string) {
    this.file = file
  }

  get origin(): string {
    return `file ${this.file}`
  }

  read(): string {
    let value: string
    try {
      value = withoutLineEnd(readBounded(this.file))
    } catch (cause) {
      const reason = toBridgeError(cause).message
      throw new BridgeError(`reading secret file '${this.file}': ${reason}`, {
        code: 'SECRET_UNREADABLE',
        cause,
      })
    }
    if (value !== '') return value
    throw new BridgeError(`reading secret file '${this.file}': the file is empty`, {
      code: 'SECRET_UNREADABLE',
    })
  }

  toString(): string {
    return this.origin
  }

  toJSON(): string {
    return this.origin
  }

  [inspect.custom](): string {
    return this.origin
  }
}

function withoutLineEnd(text: string): string {
  let end = text.length
  while (end > 0 && (text[end - 1] === '\n' || text[end - 1] === '\r')) end--
  return text.slice(0, end)
}

function readBounded(file: string): string {
  // A pipe or device would block the process or never end.
  if (!statSync(file).isFile()) throw new Error('not a file')
  const buffer = Buffer.alloc(MAX_BYTES + 1)
  const descriptor = openSync(file, 'r')
  try {
    let length = 0
    for (let read = -1; read !== 0 && length < buffer.length; length += read) {
      read = readSync(descriptor, buffer, length, buffer.length - length, null)
    }
    if (length > MAX_BYTES) throw new Error(`larger than ${MAX_BYTES} bytes`)
    return buffer.toString('utf8', 0, length)
  } finally {
    closeSync(descriptor)
    buffer.fill(0)
  }
}
