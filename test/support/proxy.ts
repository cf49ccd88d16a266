import { connect, createServer, type Socket } from 'node:net'

/** `up` is from the client to the server, `down` is back. */
export type Way = 'up' | 'down'

/** A TCP proxy on 127.0.0.1 that breaks connections on request. Each fault holds for present and later connections until `heal()`. */
export interface FaultProxy extends AsyncDisposable {
  readonly port: number
  /** Connections open now. */
  connections(): number
  /** Connections taken since start. */
  accepted(): number
  /** Bytes forwarded since start. */
  bytes(way: Way): number
  /** Resets every open connection on both sides (RST); new ones are taken. */
  cut(): void
  /** Stops reading and forwarding, one way or both, and keeps the sockets open: what a vanished peer looks like. */
  halfOpen(way?: Way): void
  /** Delays every chunk by that many milliseconds, one way or both. */
  delay(ms: number, way?: Way): void
  /** Forwards at most that many bytes per second, one way or both. */
  throttle(bytesPerSecond: number, way?: Way): void
  /** While on, closes the listening port: connecting is refused. Open connections stay. */
  refuse(on: boolean): Promise<void>
  /** While on, takes connections and resets each at once. */
  reject(on: boolean): void
  /** Ends every fault; what was held back goes on. */
  heal(): Promise<void>
}

/** What is wrong with one way at the moment. */
interface Faults {
  stopped: boolean
  delay: number
  /** Bytes per second. */
  rate: number
  bytes: number
}

/** Starts a proxy before a port of 127.0.0.1. */
export async function startProxy(targetPort: number): Promise<FaultProxy> {
  const faults: Record<Way, Faults> = { up: healthy(), down: healthy() }
  const pumps = new Set<Pump>()
  const sockets = new Set<Socket>()
  let accepted = 0
  let rejecting = false

  const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    accepted++
    client.on('error', () => client.destroy())
    if (rejecting) {
      client.resetAndDestroy()
      return
    }
    const target = connect({
      port: targetPort,
      host: '127.0.0.1',
      noDelay: true,
      allowHalfOpen: true,
    })
    sockets.add(client)
    const pair = [new Pump(client, target, faults.up), new Pump(target, client, faults.down)]
    for (const pump of pair) pumps.add(pump)
    const end = () => {
      client.resetAndDestroy()
      target.resetAndDestroy()
      sockets.delete(client)
      for (const pump of pair) pumps.delete(pump)
    }
    target.on('error', end)
    client.on('close', end)
    target.on('close', end)
  })
  const port = await listen(server, 0)

  function change(way: Way | undefined, apply: (faults: Faults) => void): void {
    for (const each of way ? [way] : (['up', 'down'] as const)) apply(faults[each])
    for (const pump of pumps) pump.wake()
  }

  async function refuse(on: boolean): Promise<void> {
    if (on === !server.listening) return
    // The callback of close() waits for open connections; the port itself is free at once.
    if (on) server.close()
    else await listen(server, port)
  }

  function cut(): void {
    for (const socket of sockets) socket.resetAndDestroy()
  }

  return {
    port,
    connections: () => sockets.size,
    accepted: () => accepted,
    bytes: (way) => faults[way].bytes,
    cut,
    halfOpen: (way) =>
      change(way, (f) => {
        f.stopped = true
      }),
    delay: (ms, way) =>
      change(way, (f) => {
        f.delay = ms
      }),
    throttle: (bytesPerSecond, way) =>
      change(way, (f) => {
        f.rate = bytesPerSecond
      }),
    refuse,
    reject: (on) => {
      rejecting = on
    },
    async heal() {
      rejecting = false
      change(undefined, (f) => {
        Object.assign(f, { ...healthy(), bytes: f.bytes })
      })
      await refuse(false)
    },
    async [Symbol.asyncDispose]() {
      cut()
      if (server.listening) await new Promise((resolve) => server.close(resolve))
    },
  }
}

function healthy(): Faults {
  return { stopped: false, delay: 0, rate: Number.POSITIVE_INFINITY, bytes: 0 }
}

function listen(server: ReturnType<typeof createServer>, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject)
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
}

/** How much may wait inside the proxy before it stops reading: it must not hide back-pressure. */
const HELD = 64 * 1024

/** Moves bytes one way between two sockets, under the faults of that way. */
class Pump {
  readonly #from: Socket
  readonly #to: Socket
  readonly #faults: Faults
  readonly #queue: { bytes: Buffer; due: number }[] = []
  #held = 0
  #ended = false
  #finished = false
  #timer: NodeJS.Timeout | undefined
  #budgetAt = performance.now()
  #budget = 0

  constructor(from: Socket, to: Socket, faults: Faults) {
    this.#from = from
    this.#to = to
    this.#faults = faults
    from.on('data', (bytes) => {
      this.#queue.push({ bytes, due: performance.now() + faults.delay })
      this.#held += bytes.length
      this.wake()
    })
    from.on('end', () => {
      this.#ended = true
      this.wake()
    })
    to.on('drain', () => this.wake())
    from.on('close', () => clearTimeout(this.#timer))
  }

  /** Moves what may be moved now, and comes back when more may. */
  wake(): void {
    clearTimeout(this.#timer)
    if (!this.#faults.stopped) this.#move()
    const full = this.#faults.stopped || this.#held >= HELD || this.#to.writableNeedDrain
    if (full) this.#from.pause()
    else this.#from.resume()
  }

  #move(): void {
    const now = performance.now()
    this.#refill(now)
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      if (this.#to.writableNeedDrain) return
      const size = Math.min(first.bytes.length, Math.floor(this.#budget))
      if (first.due > now || size === 0) {
        this.#later(first.due > now ? first.due - now : 1000 / this.#faults.rate)
        return
      }
      this.#write(first, size)
    }
    if (this.#ended && this.#queue.length === 0 && !this.#finished) {
      this.#finished = true
      this.#to.end()
    }
  }

  #write(first: { bytes: Buffer }, size: number): void {
    this.#to.write(first.bytes.subarray(0, size))
    this.#budget -= size
    this.#held -= size
    this.#faults.bytes += size
    if (size === first.bytes.length) this.#queue.shift()
    else first.bytes = first.bytes.subarray(size)
  }

  /** A token bucket that holds a tenth of a second. */
  #refill(now: number): void {
    const { rate } = this.#faults
    if (rate === Number.POSITIVE_INFINITY) {
      this.#budget = rate
    } else {
      const sofar = Number.isFinite(this.#budget) ? this.#budget : 0
      const gained = (rate * (now - this.#budgetAt)) / 1000
      this.#budget = Math.min(sofar + gained, Math.max(1, rate / 10))
    }
    this.#budgetAt = now
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => this.wake(), Math.max(1, Math.ceil(ms)))
  }
}
