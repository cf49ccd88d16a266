import type { ConnectionOptions, NatsError, ServerInfo } from 'nats'
import {
  Parser,
  ProtocolHandler,
  setTransportFactory,
} from 'nats/lib/nats-base-client/internal_mod.js'
import type { MsgArg } from 'nats/lib/nats-base-client/parser.js'
import { NodeTransport, nodeResolveHost } from 'nats/lib/src/node_transport.js'

/** Longest line the library may be sent, bytes: an INFO of a large cluster is the longest there is. */
const MAX_LINE = 1024 * 1024
/** Largest message the library may be sent, bytes: what nats-server can be configured to allow, and headers. */
const MAX_MESSAGE = 72 * 1024 * 1024

/** What the owner of a connection is told, at once and in order. */
export interface ProtocolEvents {
  /** The text of an `-ERR`. */
  said(text: string): void
  /** The first INFO and every later one. */
  info(info: ServerInfo): void
  /** What was received is not NATS; nothing more is read. */
  broken(error: unknown): void
}

/** The library's parser; what it throws, and lines without an end, become a call to `broken`. */
class GuardedParser extends Parser {
  readonly #broken: (error: unknown) => void
  #ended = false

  constructor(handler: ProtocolHandler, broken: (error: unknown) => void) {
    super(handler)
    this.#broken = broken
  }

  override parse(bytes: Uint8Array): void {
    if (this.#ended) return
    try {
      super.parse(bytes)
      if ((this.argBuf?.length ?? 0) > MAX_LINE) throw new Error('a line without an end')
      // unset until the first message, whatever its type says
      const message: MsgArg | undefined = this.ma
      if ((message?.size ?? 0) > MAX_MESSAGE) throw new Error(`a message of ${message?.size} bytes`)
    } catch (error) {
      // the reader of the library would print it and leave a connection that nobody reads
      this.#ended = true
      this.#broken(error)
    }
  }
}

/** The library's protocol engine over one given transport, telling its owner what the library keeps to itself. */
export class LinkProtocol extends ProtocolHandler {
  readonly #transport: NodeTransport
  readonly #events: ProtocolEvents

  constructor(options: ConnectionOptions, transport: NodeTransport, events: ProtocolEvents) {
    // nothing answers with the messages it gets, which is all the publisher is for
    super(options, { publish: () => undefined })
    this.#transport = transport
    this.#events = events
  }

  override dial(server: Parameters<ProtocolHandler['dial']>[0]): Promise<void> {
    // The factory is one for the whole process: it is ours only while this call asks for a transport.
    setTransportFactory({ factory: () => this.#transport })
    try {
      return super.dial(server)
    } finally {
      setTransportFactory({
        factory: () => new NodeTransport(),
        dnsResolveFn: nodeResolveHost,
      })
    }
  }

  override resetOutbound(): void {
    super.resetOutbound()
    this.parser = new GuardedParser(this, (error) => this.#events.broken(error))
  }

  override handleError(error: NatsError): void {
    this.#events.said(error.message)
    super.handleError(error)
  }

  override processInfo(bytes: Uint8Array): void {
    super.processInfo(bytes)
    if (this.info !== undefined) this.#events.info(this.info)
  }
}
