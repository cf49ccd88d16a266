import { expect, it } from 'vitest'
import { type BridgeStatus, unbalanced } from '../support/bridge-process.ts'
import { eventually, within } from '../support/eventually.ts'
import {
  type FaultStage,
  type FlowDirection,
  KEEPALIVE,
  PING_INTERVAL,
  startFaultStage,
} from '../support/fault-stage.ts'
import type { Load } from '../support/load.ts'
import type { Way } from '../support/proxy.ts'

/** Messages per second, and how many of them. */
const RATE = 5_000
const COUNT = 15_000
const TOPICS = 8
const DIRECTIONS: readonly FlowDirection[] = ['mqttToNats', 'natsToMqtt']
/** The most a bridge under load may hold, bytes. */
const MEMORY = 150 * 1024 * 1024

/** How often each case is run; each time other moments are chosen. */
const REPEATS = Number(process.env['FAULT_REPEATS'] ?? 1)
/** Chooses the moments; printed, so that a case can be run again. */
const SEED = Number(process.env['FAULT_SEED'] ?? Date.now() % 1_000_000)

/** Chance that can be repeated: mulberry32. */
function chance(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A bridge under load, and when and how to break something. */
interface Scene {
  readonly stage: FaultStage
  readonly load: Load
  readonly random: () => number
  /** Waits until a share of the messages has been published, give or take a little. */
  until(share: number): Promise<void>
}

interface Fault {
  readonly name: string
  /** Breaks things before the first message. */
  readonly before?: (stage: FaultStage) => Promise<void>
  /** Breaks things while messages flow, and mends them. */
  readonly during: (scene: Scene) => Promise<void>
  /** The most messages of a stream that may come twice, by what the broker allows unacknowledged. */
  readonly mostRepeats?: (inflight: number) => number
}

/** SIGTERM: what is in flight is settled long before the bridge would give up waiting for it. */
async function leave({ bridge }: FaultStage): Promise<void> {
  const ending = await within('the bridge to leave', 5_000, bridge.stop())
  expect(ending).toEqual({ code: 0, signal: null })
}

/** What a bridge gets over without help. */
const BLOWS: readonly ((stage: FaultStage) => Promise<void> | void)[] = [
  async ({ bridge }) => {
    await bridge.kill()
    await bridge.restart()
  },
  async (stage) => {
    await leave(stage)
    await stage.bridge.restart()
  },
  ({ server }) => server.restart(),
  ({ broker }) => broker.restart(),
  ({ proxies }) => proxies.mqtt.cut(),
  ({ proxies }) => proxies.nats.cut(),
  ({ proxies }) => {
    proxies.mqtt.cut()
    proxies.nats.cut()
  },
  async ({ bridge, proxies }) => {
    // what was written last lies between the bridge and the servers, and arrives after the next one has begun
    proxies.mqtt.halfOpen('up')
    proxies.nats.halfOpen('up')
    await bridge.kill()
    await Promise.all([proxies.mqtt.heal(), proxies.nats.heal()])
    await bridge.restart()
  },
]

const WAYS: readonly (Way | undefined)[] = [undefined, 'up', 'down']

const FAULTS: readonly Fault[] = [
  {
    name: 'kills of the bridge',
    during: async ({ stage, until }) => {
      for (const share of [0.15, 0.4, 0.65]) {
        await until(share)
        await stage.bridge.kill()
        await stage.bridge.restart()
      }
      // before anything could be acknowledged
      await stage.bridge.kill()
      await stage.bridge.restart()
    },
    // what the broker had in hand at each kill, and acknowledgements that died with the connection
    mostRepeats: (inflight) => 4 * inflight + 1_000,
  },
  {
    name: 'orderly restarts of the bridge',
    during: async ({ stage, until }) => {
      await until(0.2)
      await leave(stage)
      await until(0.4)
      await stage.bridge.restart()
      // in the middle of what had gathered meanwhile
      await leave(stage)
      await stage.bridge.restart()
    },
  },
  {
    name: 'a restart of nats-server',
    during: async ({ stage, until }) => {
      await until(0.4)
      await stage.server.restart()
    },
  },
  {
    name: 'a kill of nats-server',
    during: async ({ stage, until }) => {
      await until(0.4)
      await stage.server.kill()
      await stage.server.restart()
    },
  },
  {
    name: 'a restart of the broker',
    during: async ({ stage, until }) => {
      await until(0.4)
      await stage.broker.restart()
    },
  },
  ...(['mqtt', 'nats'] as const).flatMap((side): Fault[] => [
    {
      name: `resets of the ${side} connection`,
      during: async ({ stage, until }) => {
        for (const share of [0.2, 0.5]) {
          await until(share)
          stage.proxies[side].cut()
        }
      },
    },
    {
      name: `a half-open ${side} connection`,
      during: async ({ stage, until, random }) => {
        await until(0.2)
        stage.proxies[side].halfOpen(WAYS[Math.floor(random() * WAYS.length)])
        await untilNoticed(stage, side)
        await stage.proxies[side].heal()
      },
    },
    {
      name: `${side} away at start`,
      before: async (stage) => {
        await leave(stage)
        await stage.proxies[side].refuse(true)
        stage.proxies[side].cut()
      },
      during: async ({ stage, until }) => {
        await until(0.3)
        const started = stage.bridge.restart()
        await until(0.6)
        await stage.proxies[side].heal()
        await started
      },
    },
  ]),
  {
    name: 'blow upon blow',
    during: async ({ stage, until, random }) => {
      for (const share of [0.1, 0.25, 0.4, 0.55]) {
        await until(share)
        await BLOWS[Math.floor(random() * BLOWS.length)]?.(stage)
      }
    },
  },
]

/**
 * Half again the keepalive, twice the ping interval; and time for a busy machine. A nats-server that hears
 * nothing still pings by itself once, about 2 s after the login, and that counts as heard.
 */
const NOTICED = { mqtt: KEEPALIVE * 1500 + 2_000, nats: PING_INTERVAL * 2000 + 4_000 }

async function untilNoticed({ bridge }: FaultStage, side: 'mqtt' | 'nats'): Promise<void> {
  const lost = async () => (await bridge.status()).connections[side].state !== 'connected'
  await eventually(`the bridge to notice that ${side} is gone`, lost, { deadline: NOTICED[side] })
}

/** Looks at the bridge while it works: memory, books, and how long nothing arrived. */
class Watch {
  readonly #stage: FaultStage
  readonly #stop = new AbortController()
  readonly #running: Promise<void>
  memory = 0
  /** Longest time without an arrival, milliseconds. */
  stall = 0
  readonly imbalances: string[] = []

  constructor(stage: FaultStage) {
    this.#stage = stage
    this.#running = this.#look()
  }

  async #look(): Promise<void> {
    let [last, since] = [0, performance.now()]
    while (!this.#stop.signal.aborted) {
      const progress = await this.#stage.progress().catch(() => last)
      if (progress > last) since = performance.now()
      last = progress
      this.stall = Math.max(this.stall, performance.now() - since)
      this.memory = Math.max(this.memory, await this.#stage.bridge.rss().catch(() => 0))
      const status = await this.#stage.bridge.status().catch(() => undefined)
      if (status !== undefined) this.imbalances.push(...unbalanced(status))
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }
}

async function allThrough(stage: FaultStage): Promise<void> {
  const through = async () => {
    if ((await stage.progress()) < COUNT || !(await stage.arrived()).complete()) return false
    return (await stage.bridge.status()).routes.every(({ inFlight }) => inFlight === 0)
  }
  const name = 'every message to be through'
  // what is missing after that is for the verdict to say
  await eventually(name, through, { deadline: 30_000, interval: 100 }).catch(() => undefined)
}

/** What a route may have counted besides messages that went through. */
function oddities({ routes }: BridgeStatus): unknown[] {
  return routes.flatMap(({ dropped: { duplicate: _, ...dropped }, deadLettered, inFlight }) => {
    const odd = { ...dropped, deadLettered, inFlight }
    return Object.values(odd).some((count) => count > 0) ? [odd] : []
  })
}

async function run(fault: Fault, direction: FlowDirection, seed: number): Promise<void> {
  const random = chance(seed)
  const inflight = [20, 100, 1000][Math.floor(random() * 3)] ?? 20
  await using stage = await startFaultStage({
    ...{ direction, inflight },
    ...{ count: COUNT, rate: RATE, topics: TOPICS },
  })
  await fault.before?.(stage)
  const watch = new Watch(stage)
  const load = stage.publish()
  const until = async (share: number) => {
    const wanted = COUNT * (share + random() * 0.1)
    await eventually(`${wanted} messages sent`, () => load.sent() >= wanted, { deadline: 30_000 })
  }
  await fault.during({ stage, load, random, until })
  const mended = performance.now()
  await within('the load to be taken', 60_000, load.done)
  await allThrough(stage)
  const took = performance.now() - mended
  await watch.stop()
  const status = await stage.bridge.status()
  const ending = await stage.bridge.stop()
  const verdict = (await stage.arrived()).verdict()
  const { lost, doubled, reordered } = verdict
  process.stderr.write(
    `${fault.name}, ${direction}, seed ${seed}, window ${inflight}: lost ${lost}, reordered ${reordered}, ` +
      `doubled ${doubled}, stalled ${Math.round(watch.stall)} ms, through ${Math.round(took)} ms after, ` +
      `${Math.round(watch.memory / 1024 / 1024)} MiB\n`,
  )
  const logs = stage.bridge.logs()
  const alarming = logs.filter(({ level, code }) => level === 'error' || code === 'INTERNAL')
  const said = logs.slice(-40).map((line) => JSON.stringify(line))
  const seen = [...verdict.examples, JSON.stringify(status.routes), ...said].join('\n')
  expect(verdict, seen).toMatchObject({ lost: 0, reordered: 0, foreign: 0 })
  if (direction === 'natsToMqtt' && fault.mostRepeats !== undefined) {
    expect(doubled, seen).toBeLessThanOrEqual(fault.mostRepeats(inflight))
  }
  expect(oddities(status), seen).toEqual([])
  expect(watch.imbalances).toEqual([])
  expect(await stage.leftOver(), seen).toEqual([])
  expect(alarming).toEqual([])
  expect(stage.bridge.stderr()).toBe('')
  expect(ending, seen).toEqual({ code: 0, signal: null })
  expect(watch.memory).toBeLessThan(MEMORY)
}

const CASES = FAULTS.flatMap((fault) => DIRECTIONS.map((direction) => ({ fault, direction })))

for (const { fault, direction } of CASES) {
  it(
    `loses and reorders nothing ${direction} over ${fault.name}`,
    async () => {
      for (let repeat = 0; repeat < REPEATS; repeat++) await run(fault, direction, SEED + repeat)
    },
    120_000 * REPEATS,
  )
}
