/** A message as it arrived; payloads and headers are copies. */
export interface NatsMessage {
  readonly subject: string
  readonly reply: string
  /** Header lines in order, names as written; one name may repeat. */
  readonly headers: readonly (readonly [string, string])[]
  /** Status line after `NATS/1.0`, for instance `503`; empty for an ordinary message. */
  readonly status: string
  readonly data: Buffer
  readonly sid: number
}

/** One thing the server said. */
export type Frame =
  | { readonly kind: 'INFO' | 'ERR'; readonly text: string }
  | { readonly kind: 'PING' | 'PONG' | 'OK' }
  | { readonly kind: 'MSG'; readonly message: NatsMessage }

const EMPTY = Buffer.alloc(0)

/** Cuts the byte stream of a NATS server into frames. */
export class NatsParser {
  readonly #take: (frame: Frame) => void
  #rest: Buffer = EMPTY

  constructor(take: (frame: Frame) => void) {
    this.#take = take
  }

  /** Adds bytes as they were read; calls back for each frame that is complete. */
  push(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (;;) {
      const next = this.#frame(bytes, at)
      if (next < 0) break
      at = next
    }
    this.#rest = at === bytes.length ? EMPTY : Buffer.from(bytes.subarray(at))
  }

  /** Reads the frame at that offset; returns where the next begins, or -1 when it is not all there. */
  #frame(bytes: Buffer, at: number): number {
    const end = bytes.indexOf('\r\n', at, 'latin1')
    if (end < 0) return -1
    const line = bytes.toString('utf8', at, end)
    const space = line.search(/[ \t]/)
    const verb = (space < 0 ? line : line.slice(0, space)).toUpperCase()
    const rest = space < 0 ? '' : line.slice(space + 1)
    switch (verb) {
      case 'MSG':
      case 'HMSG':
        return this.#message(bytes, end + 2, rest.trim().split(/\s+/), verb === 'HMSG')
      case 'INFO':
        this.#take({ kind: 'INFO', text: rest })
        break
      case '-ERR':
        this.#take({ kind: 'ERR', text: rest.replace(/^'|'$/g, '') })
        break
      case 'PING':
      case 'PONG':
        this.#take({ kind: verb })
        break
      case '+OK':
        this.#take({ kind: 'OK' })
        break
      default:
        throw new Error(`reading from NATS: unknown line '${line.slice(0, 100)}'`)
    }
    return end + 2
  }

  #message(bytes: Buffer, at: number, args: string[], withHeaders: boolean): number {
    const total = Number(args.pop())
    const headerSize = withHeaders ? Number(args.pop()) : 0
    if (bytes.length < at + total + 2) return -1
    const [subject = '', sid = '', reply = ''] = args
    const head = parseHeaders(bytes.toString('utf8', at, at + headerSize))
    const data = Buffer.from(bytes.subarray(at + headerSize, at + total))
    this.#take({ kind: 'MSG', message: { subject, sid: Number(sid), reply, data, ...head } })
    return at + total + 2
  }
}

/** Reads a header block beginning with `NATS/1.0`; an empty text has no headers and no status. */
export function parseHeaders(text: string): Pick<NatsMessage, 'headers' | 'status'> {
  const [first = '', ...lines] = text.split('\r\n')
  const headers = lines.flatMap((line): (readonly [string, string])[] => {
    const colon = line.indexOf(':')
    return colon < 0 ? [] : [[line.slice(0, colon), line.slice(colon + 1).trim()]]
  })
  return { headers, status: first.slice('NATS/1.0'.length).trim() }
}
