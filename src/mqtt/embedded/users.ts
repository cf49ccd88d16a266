import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { BridgeError, toBridgeError } from '../../core/errors.ts'
import type { Clock, Logger } from '../../core/ports.ts'
import { ChangingFiles } from './changing-files.ts'

/** A password hash with the parameters it was made with (RFC 7914). */
export interface PasswordHash {
  /** Cost, a power of two. */
  readonly n: number
  readonly r: number
  readonly p: number
  readonly salt: Buffer
  readonly hash: Buffer
}

const COST = { n: 16_384, r: 8, p: 1 }
const SALT_BYTES = 16
const HASH_BYTES = 32
/** Memory one verification may take; a line that asks for more is refused when it is read. */
const MAX_MEMORY = 256 * 1024 * 1024
const LINE =
  /^\$scrypt\$N=(\d{1,8}),r=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]+=*)\$([A-Za-z0-9+/]+=*)$/

/**
 * The line of the users file for one user: `name:$scrypt$N=…,r=…,p=…$salt$hash`, salt and hash in base64.
 * @throws BridgeError USAGE when the name cannot stand in the file
 */
export async function hashPassword(name: string, password: string): Promise<string> {
  const bad = badName(name)
  if (bad !== undefined) {
    throw new BridgeError(`hashing the password of '${name}': ${bad}`, { code: 'USAGE' })
  }
  const salt = randomBytes(SALT_BYTES)
  const hash = await derive(Buffer.from(password), {
    ...COST,
    salt,
    hash: Buffer.alloc(HASH_BYTES),
  })
  const { n, r, p } = COST
  return `${name}:$scrypt$N=${n},r=${r},p=${p}$${salt.toString('base64')}$${hash.toString('base64')}`
}

/** Whether the password is the one the hash was made of; takes the same time either way. */
export async function verifyPassword(password: Buffer, expected: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derive(password, expected), expected.hash)
}

/**
 * Reads the text of a users file: a user per line; empty lines and lines beginning with `#` are skipped.
 * @param file named in errors
 * @throws BridgeError USERS_FILE_INVALID with the number of the line
 */
export function parseUsers(text: string, file: string): ReadonlyMap<string, PasswordHash> {
  const users = new Map<string, PasswordHash>()
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const refuse = (why: string) =>
      invalid(`reading users file '${file}', line ${index + 1}: ${why}`)
    const colon = line.indexOf(':')
    if (colon === -1) throw refuse('no colon between name and hash')
    const name = line.slice(0, colon)
    const bad = badName(name)
    if (bad !== undefined) throw refuse(bad)
    if (users.has(name)) throw refuse(`user '${name}' again`)
    const hash = parseHash(line.slice(colon + 1))
    if (typeof hash === 'string') throw refuse(hash)
    users.set(name, hash)
  }
  return users
}

function badName(name: string): string | undefined {
  if (name === '' || name.trim() !== name) return 'a name is empty or begins or ends with a space'
  if (name.startsWith('#')) return 'a name begins with #'
  return /[:\r\n]/.test(name) ? 'a name holds a colon or a line break' : undefined
}

function parseHash(text: string): PasswordHash | string {
  const found = LINE.exec(text)
  if (found === null) return 'the hash is not of the form $scrypt$N=…,r=…,p=…$salt$hash'
  const [n, r, p] = [Number(found[1]), Number(found[2]), Number(found[3])]
  if (n < 2 || (n & (n - 1)) !== 0) return 'N is not a power of two'
  if (r < 1 || p < 1 || p > 16) return 'r or p is out of range'
  if (memory(n, r, p) > MAX_MEMORY) return 'N and r ask for too much memory'
  const salt = Buffer.from(found[4] ?? '', 'base64')
  const hash = Buffer.from(found[5] ?? '', 'base64')
  if (hash.length < 16 || hash.length > 64) return 'the hash is not 16 to 64 bytes'
  return { n, r, p, salt, hash }
}

function memory(n: number, r: number, p: number): number {
  return 128 * r * (n + p + 2)
}

function derive(password: Buffer, made: PasswordHash): Promise<Buffer> {
  const { n, r, p, salt, hash } = made
  const options = { N: n, r, p, maxmem: memory(n, r, p) + 1024 * 1024 }
  return new Promise((resolve, reject) => {
    scrypt(password, salt, hash.length, options, (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}

function invalid(message: string, cause?: unknown): BridgeError {
  return new BridgeError(message, { code: 'USERS_FILE_INVALID', cause })
}

/** Passwords hashed at one time; the pool of threads also serves DNS and files. */
const PARALLEL = 2
/** Logins waiting for their turn. */
const MAX_WAITING = 256

/** What a login came to: in, wrong name or password, or too many at one time. */
export type LoginResult = 'accepted' | 'refused' | 'busy'

/** The users of a file, read again when it changes; a bad file changes nothing and is reported. */
export class Users {
  readonly #file: string
  readonly #logger: Logger
  readonly #changing: ChangingFiles
  readonly #waiting: (() => void)[] = []
  #users: ReadonlyMap<string, PasswordHash> = new Map()
  #running = 0
  /** What an unknown name is checked against, so that it takes as long as a wrong password. */
  readonly #nobody: PasswordHash = {
    ...COST,
    salt: randomBytes(SALT_BYTES),
    hash: randomBytes(HASH_BYTES),
  }

  constructor(file: string, logger: Logger, clock: Clock) {
    this.#file = file
    this.#logger = logger
    this.#changing = new ChangingFiles([file], clock)
  }

  /** Reads the file for the first time; throws BridgeError USERS_FILE_INVALID. */
  load(): void {
    this.#changing.changed()
    this.#users = this.#read()
  }

  async login(name: string, password: Buffer): Promise<LoginResult> {
    if (this.#running >= PARALLEL && this.#waiting.length >= MAX_WAITING) return 'busy'
    this.#refresh()
    if (this.#running >= PARALLEL) await new Promise<void>((go) => this.#waiting.push(go))
    else this.#running++
    try {
      const user = this.#users.get(name)
      const same = await verifyPassword(password, user ?? this.#nobody)
      return same && user !== undefined ? 'accepted' : 'refused'
    } finally {
      // the turn is handed on, so that a newcomer cannot take it
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }

  #refresh(): void {
    if (!this.#changing.changed()) return
    try {
      this.#users = this.#read()
      this.#logger.info({ file: this.#file, users: this.#users.size }, 'users file read again')
    } catch (thrown) {
      const error = toBridgeError(thrown, 'USERS_FILE_INVALID')
      this.#logger.failure(
        error,
        'users file changed but is not valid; the users stay as they were',
      )
    }
  }

  #read(): ReadonlyMap<string, PasswordHash> {
    let text: string
    try {
      text = readFileSync(this.#file, 'utf8')
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw invalid(`reading users file '${this.#file}': ${why}`, cause)
    }
    return parseUsers(text, this.#file)
  }
}
