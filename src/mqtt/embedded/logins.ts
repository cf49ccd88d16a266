import type { AuthenticateError, Client, ConnectPacket } from 'aedes'
import { DeviceLink } from './device-link.ts'
import type { EmbeddedStats } from './limits.ts'
import type { RareLog } from './rare-log.ts'
import type { StoreView } from './store.ts'
import type { Users } from './users.ts'

/** CONNACK codes of MQTT 3.1.1 [MQTT-3.2.2.3]. */
const Connack = { idRejected: 2, unavailable: 3, badCredentials: 4, notAuthorized: 5 } as const

export interface LoginsOwner {
  readonly stats: EmbeddedStats
  readonly log: RareLog
  /** Client id no device may take. */
  readonly bridgeClientId: string
  /** Absent: everybody may connect. */
  readonly users: Users | undefined
  readonly sessions: Pick<StoreView, 'admit' | 'forget'>
}

/** Decides who may connect. */
export class Logins {
  readonly #owner: LoginsOwner

  constructor(owner: LoginsOwner) {
    this.#owner = owner
  }

  /** Looks at the CONNECT before anything is done with it. */
  preConnect(client: Client, packet: ConnectPacket): void {
    const link = linkOf(client)
    if (link === undefined) return
    link.setKeepalive(packet.keepalive ?? 0)
    // the link watches it, since the library does not hear a device whose publish waits
    packet.keepalive = 0
    const isNameless = packet.clientId === '' && packet.clean !== true // [MQTT-3.1.3-8]
    if (isNameless || packet.clientId === this.#owner.bridgeClientId) {
      link.refusal = Connack.idRejected
    }
  }

  /** Resolves to undefined for a client that is let in, else to the error that makes the CONNACK. */
  async authenticate(
    client: Client,
    name: string | undefined,
    password: Buffer | undefined,
  ): Promise<AuthenticateError | undefined> {
    let code: number | undefined
    try {
      code = await this.#judge(client, name, password)
    } catch (thrown) {
      this.#owner.log.warn({ error: String(thrown) }, 'login of a device could not be checked')
      code = Connack.unavailable
    }
    if (code === undefined) return undefined
    this.#owner.stats.loginsRefused++
    const fields = { clientId: client.id, address: linkOf(client)?.address, code }
    this.#owner.log.warn(fields, 'login of a device refused')
    return Object.assign(new Error('login refused'), { returnCode: code })
  }

  /** The CONNACK code of a refusal. */
  async #judge(client: Client, name?: string, password?: Buffer): Promise<number | undefined> {
    const refusal = linkOf(client)?.refusal
    if (refusal !== undefined) return refusal
    const { users, sessions } = this.#owner
    if (users !== undefined) {
      if (name === undefined || password === undefined) return Connack.notAuthorized
      const result = await users.login(name, password)
      if (result === 'busy') return Connack.unavailable
      if (result === 'refused') return Connack.badCredentials
    }
    if (client.clean) sessions.forget(client.id)
    else if (!sessions.admit(client.id)) return Connack.unavailable
    return undefined
  }
}

/** The link a client of the library came in on. */
export function linkOf(client: Client): DeviceLink | undefined {
  return client.conn instanceof DeviceLink ? client.conn : undefined
}
