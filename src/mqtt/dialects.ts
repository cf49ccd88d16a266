/** How to speak to a broker: the MQTT version, and whether to say in CONNECT that this is a bridge. */
export interface Dialect {
  readonly protocolVersion: 4 | 5
  /** Bit 7 of the version byte, understood by Mosquitto and others: no echo of our own messages in 3.1.1. */
  readonly bridgeMode: boolean
}

const MQTT_5: Dialect = { protocolVersion: 5, bridgeMode: false }
const MQTT_311_BRIDGE: Dialect = { protocolVersion: 4, bridgeMode: true }
const MQTT_311: Dialect = { protocolVersion: 4, bridgeMode: false }

/** Milliseconds after which a broker that fell back is asked for the best dialect again. */
const REMEMBER_FOR = 3_600_000
/** Some brokers close on a version they do not know instead of refusing it; once may be chance. */
const SILENT_CLOSES = 2

interface Memory {
  readonly at: number
  readonly since: number
  readonly silentCloses: number
}

/** Name of a dialect for people: `MQTT 5`, `MQTT 3.1.1`. */
export function protocolName(dialect: Dialect): string {
  return dialect.protocolVersion === 5 ? 'MQTT 5' : 'MQTT 3.1.1'
}

/** Remembers, per server, the best dialect it takes: 5, then 3.1.1 with the bridge bit, then plain 3.1.1. */
export class Dialects {
  readonly #ladder: readonly Dialect[]
  readonly #memory = new Map<string, Memory>()

  /** @param best version to begin with */
  constructor(best: 4 | 5) {
    this.#ladder = best === 5 ? [MQTT_5, MQTT_311_BRIDGE, MQTT_311] : [MQTT_311_BRIDGE, MQTT_311]
  }

  /** The dialect for the next attempt; `now` in milliseconds. */
  choose(server: string, now: number): Dialect {
    const memory = this.#memory.get(server)
    if (memory !== undefined && now - memory.since >= REMEMBER_FOR) this.#memory.delete(server)
    return this.#ladder[this.#memory.get(server)?.at ?? 0] ?? MQTT_311
  }

  /** The server took the dialect. */
  accepted(server: string): void {
    const memory = this.#memory.get(server)
    if (memory !== undefined) this.#memory.set(server, { ...memory, silentCloses: 0 })
  }

  /** The server refused the version. True when there is another dialect to try; false starts over. */
  refused(server: string, now: number): boolean {
    const at = (this.#memory.get(server)?.at ?? 0) + 1
    if (at >= this.#ladder.length) {
      this.#memory.delete(server)
      return false
    }
    this.#memory.set(server, { at, since: now, silentCloses: 0 })
    return true
  }

  /** The server closed on our CONNECT without an answer. True when that is now taken for a refusal. */
  silentlyClosed(server: string, now: number): boolean {
    const memory = this.#memory.get(server) ?? { at: 0, since: now, silentCloses: 0 }
    const silentCloses = memory.silentCloses + 1
    if (silentCloses >= SILENT_CLOSES) return this.refused(server, now)
    this.#memory.set(server, { ...memory, silentCloses })
    return false
  }
}
