import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { deferred } from './deferred.ts'
import { eventually, within } from './eventually.ts'

/** One connection to the scripted peer, from the peer's point of view. */
export interface PeerConnection {
  readonly socket: Socket
  /** Which connection this is, from 1. */
  readonly number: number
  /** Every byte received and not yet taken by an `expect…`. */
  pending(): Buffer
  send(bytes: string | Uint8Array): void
  /** Waits until the bytes have been received, and takes everything up to their end; resolves to what it took. */
  expectBytes(bytes: string | Uint8Array, deadline?: number): Promise<Buffer>
  /** Waits for a whole line and takes it; resolves to it without CRLF. */
  expectLine(deadline?: number): Promise<string>
  /** Waits for a whole MQTT packet of that type (1 CONNECT … 14 DISCONNECT) and takes it; other types are taken and skipped. */
  expectPacket(type: number, deadline?: number): Promise<Buffer>
  /** Resets the connection. */
  reset(): void
  readonly closed: Promise<void>
}

/** A listener that plays a script instead of a server. */
export interface ScriptedPeer extends AsyncDisposable {
  readonly port: number
  readonly connections: readonly PeerConnection[]
  /** Rejects with the first error of a script; resolves when that connection's script has ended. */
  finished(number: number): Promise<void>
}

/** Listens on a free port of 127.0.0.1 and runs the script once for each connection. */
export async function startScriptedPeer(
  script: (connection: PeerConnection) => void | Promise<void>,
): Promise<ScriptedPeer> {
  const connections: PeerConnection[] = []
  const runs: Promise<void>[] = []
  const server = createServer({ noDelay: true }, (socket) => {
    const connection = peerConnection(socket, connections.length + 1)
    connections.push(connection)
    const run = (async () => script(connection))()
    run.catch(() => undefined)
    runs.push(run)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    connections,
    async finished(number) {
      await eventually(`connection ${number}`, () => runs.length >= number)
      await runs[number - 1]
    },
    async [Symbol.asyncDispose]() {
      for (const { socket } of connections) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function peerConnection(socket: Socket, number: number): PeerConnection {
  let pending: Buffer = Buffer.alloc(0)
  let more = deferred()
  const end = deferred()
  socket.on('data', (chunk) => {
    pending = Buffer.concat([pending, chunk])
    more.resolve()
  })
  socket.on('error', () => socket.destroy())
  socket.on('close', () => {
    more.reject(new Error('the client closed the connection'))
    end.resolve()
  })

  /** Tries `cut` now and after each chunk until it says how many bytes to take. */
  async function take(name: string, cut: () => number | undefined, ms = 5_000): Promise<Buffer> {
    const got = (async () => {
      for (;;) {
        const size = cut()
        if (size !== undefined) {
          const taken = pending.subarray(0, size)
          pending = pending.subarray(size)
          return taken
        }
        if (socket.closed) throw new Error('the client closed the connection')
        more = deferred()
        await more.promise
      }
    })()
    return within(name, ms, got)
  }

  return {
    socket,
    number,
    pending: () => pending,
    send: (bytes) => void socket.write(bytes),
    expectBytes(bytes, deadline) {
      const wanted = Buffer.from(bytes as Uint8Array)
      const cut = () => {
        const at = pending.indexOf(wanted)
        return at < 0 ? undefined : at + wanted.length
      }
      return take(`the bytes '${wanted.toString('latin1').slice(0, 60)}'`, cut, deadline)
    },
    async expectLine(deadline) {
      const cut = () => {
        const at = pending.indexOf('\r\n')
        return at < 0 ? undefined : at + 2
      }
      const line = await take('a line', cut, deadline)
      return line.toString('utf8', 0, line.length - 2)
    },
    async expectPacket(type, deadline) {
      for (;;) {
        const packet = await take(`MQTT packet type ${type}`, () => packetSize(pending), deadline)
        if ((packet[0] ?? 0) >> 4 === type) return packet
      }
    },
    reset: () => void socket.resetAndDestroy(),
    closed: end.promise,
  }
}

/** Size of the MQTT packet at the beginning, or undefined while it is not all there [MQTT 5, 1.5.5 and 2.1.4]. */
function packetSize(bytes: Buffer): number | undefined {
  let remaining = 0
  for (let i = 1; i <= 4; i++) {
    const byte = bytes[i]
    if (byte === undefined) return undefined
    remaining += (byte & 0x7f) << (7 * (i - 1))
    if (byte < 0x80) {
      const size = 1 + i + remaining
      return bytes.length >= size ? size : undefined
    }
  }
  throw new Error('reading an MQTT packet: malformed remaining length')
}

/** Frames a scripted server needs most. */
export const MQTT = {
  CONNECT: 1,
  PUBLISH: 3,
  PUBACK: 4,
  PUBREC: 5,
  PUBREL: 6,
  PUBCOMP: 7,
  SUBSCRIBE: 8,
  PINGREQ: 12,
  DISCONNECT: 14,
  /** CONNACK that accepts, without a session. */
  connack5: Buffer.from([0x20, 0x03, 0x00, 0x00, 0x00]),
  connack4: Buffer.from([0x20, 0x02, 0x00, 0x00]),
} as const

/** An INFO line as nats-server sends it; fields given replace the usual ones. */
export function natsInfo(fields: Record<string, unknown> = {}): string {
  const info = {
    server_id: 'SCRIPTED',
    server_name: 'scripted',
    version: '2.12.3',
    proto: 1,
    headers: true,
    max_payload: 1_048_576,
    jetstream: true,
    ...fields,
  }
  return `INFO ${JSON.stringify(info)}\r\n`
}
