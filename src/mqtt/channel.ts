/** What a channel knows about the server it reached. */
export interface ChannelFacts {
  /** `host:port` as dialled. */
  readonly server: string
  /** `TLSv1.3`, …; empty without TLS. */
  readonly tlsVersion: string
  /** End of the server certificate, seconds since the epoch; 0 without one. */
  readonly certNotAfter: number
}

/**
 * A connection that carries bytes both ways, whatever lies under it (TCP, TLS, WebSocket), used once.
 * Its owner sets the handlers and opens it; a channel that failed or was closed calls `onClose` once and
 * nothing after. Errors are Node's own; `errors.ts` translates them.
 */
export interface Channel {
  /** Bytes came in; `chunk` is valid only during the call (a reused buffer). Return false to stop until `resume()`. */
  onChunk: (chunk: Buffer) => boolean
  /** After `write` returned false: there is room again. */
  onDrain: () => void
  /** The peer is reached, the TLS or WebSocket handshake done. */
  onOpen: () => void
  /** The end; without an error when it was closed in order. */
  onClose: (error: Error | undefined) => void

  /** Starts dialling. Never throws: what goes wrong arrives at `onClose`. */
  open(): void
  /**
   * Sends bytes, which must stay as they are until `done`. False above the high-water mark; `onDrain` follows.
   * On a channel that is not open the bytes are dropped and `done` gets an error.
   */
  write(data: Buffer, done?: (error?: Error | null) => void): boolean
  /** Bytes written and not yet handed to the system. */
  readonly writableLength: number
  /** Goes on reading after `onChunk` returned false; may call `onChunk` before it returns. */
  resume(): void
  /** Sends what is left and closes. */
  end(): void
  /** Closes at once. */
  destroy(error?: Error): void

  /** Complete once open. */
  readonly facts: ChannelFacts
}

/** Bytes a channel holds for writing before `write` returns false. */
export const HIGH_WATER_MARK = 256 * 1024

/** Milliseconds before the system probes a silent connection. */
export const TCP_KEEPALIVE_MS = 30_000

/** What `write` reports on a channel that cannot take bytes. */
export function notOpen(): Error {
  return Object.assign(new Error('the channel is not open'), { code: 'EPIPE' })
}
