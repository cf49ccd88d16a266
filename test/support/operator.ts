import {
  type Account,
  type ConnectionType,
  encodeAccount,
  encodeOperator,
  encodeUser,
  type Permissions,
  type User,
} from '@nats-io/jwt'
import { createAccount, createOperator, createUser, type KeyPair } from 'nkeys.js'
import { connectNats, type RawNatsOptions } from './raw-nats.ts'

/** The accounts of the fixture: the system account, one with JetStream, one without. */
export type AccountName = 'SYS' | 'IOT' | 'SERVICES'

/** What a user JWT shall allow. */
export interface UserOptions {
  readonly account: AccountName
  readonly name?: string
  /** The JWT alone is enough to connect. */
  readonly bearer?: boolean
  /** Seconds from now; negative: expired that long ago. Never expires unless given. */
  readonly expiresIn?: number
  /** Seconds from now until it becomes valid. */
  readonly notBefore?: number
  /** Every kind of connection unless given. */
  readonly connectionTypes?: readonly ConnectionType[]
  readonly permissions?: Permissions
}

/** A user's credentials in every form in which they are handed over. */
export interface UserCredentials {
  readonly jwt: string
  readonly seed: string
  readonly publicKey: string
  /** Text of a `.creds` file. */
  readonly creds: string
}

/** How to reach a server as a client of the fixture: port, and TLS when the server has it. */
export type ServerAddress = Pick<RawNatsOptions, 'port' | 'host' | 'tls'>

/** Keys and JWTs of an operator with three accounts. */
export interface OperatorFixture {
  readonly operatorJwt: string
  /** Public keys by account name. */
  readonly accounts: Readonly<Record<AccountName, string>>
  /** The account JWT as last issued. */
  accountJwt(account: AccountName): string
  /** Seed of the account's identity key, which signs its users. */
  accountSeed(account: AccountName): string
  readonly operatorSeed: string
  userJwt(options: UserOptions): Promise<UserCredentials>
  /** nats-server configuration: operator, system account, full resolver in that folder with all accounts preloaded. */
  serverConfig(resolverDir: string): string
  /** Issues the account anew with these claims changed and pushes it to a server; resolves when the server has taken it. */
  pushAccount(server: ServerAddress, account: AccountName, change: Partial<Account>): Promise<void>
  /** Revokes a user (public key, or `*` for all) whose JWT was issued up to now, and pushes the account. */
  pushRevocation(server: ServerAddress, account: AccountName, user: string): Promise<void>
}

// Every limit is written down: a number that is missing means 0, and an account with 0
// connections or subscriptions is of no use.
const LIMITS = {
  subs: -1,
  data: -1,
  payload: -1,
  imports: -1,
  exports: -1,
  wildcards: true,
  disallow_bearer: false,
  conn: -1,
  leaf: -1,
}

const JETSTREAM_LIMITS = {
  mem_storage: -1,
  disk_storage: -1,
  streams: -1,
  consumer: -1,
  max_ack_pending: -1,
  mem_max_stream_bytes: 0,
  disk_max_stream_bytes: 0,
  max_bytes_required: false,
}

const now = () => Math.floor(Date.now() / 1000)
const seedOf = (pair: KeyPair) => Buffer.from(pair.getSeed()).toString('latin1')

/** Makes an operator with its accounts; all keys are new. */
export async function makeOperator(): Promise<OperatorFixture> {
  const operator = createOperator()
  const keys = { SYS: createAccount(), IOT: createAccount(), SERVICES: createAccount() }
  const ids = {
    SYS: keys.SYS.getPublicKey(),
    IOT: keys.IOT.getPublicKey(),
    SERVICES: keys.SERVICES.getPublicKey(),
  }
  const claims: Record<AccountName, Partial<Account>> = {
    SYS: { limits: { ...LIMITS } },
    IOT: { limits: { ...LIMITS, ...JETSTREAM_LIMITS } },
    SERVICES: { limits: { ...LIMITS } },
  }
  const operatorJwt = await encodeOperator('TEST', operator, { system_account: ids.SYS })
  const jwts = {
    SYS: await issue('SYS'),
    IOT: await issue('IOT'),
    SERVICES: await issue('SERVICES'),
  }

  function issue(account: AccountName): Promise<string> {
    // A copy: encoding writes into what it is given.
    const body = structuredClone(claims[account])
    return encodeAccount(account, keys[account], body, { signer: operator })
  }

  async function pushAccount(
    server: ServerAddress,
    account: AccountName,
    change: Partial<Account>,
  ): Promise<void> {
    claims[account] = { ...claims[account], ...change }
    jwts[account] = await issue(account)
    const { jwt, seed } = await userFor(keys.SYS, { account: 'SYS', name: 'pusher' })
    const client = await connectNats({ ...server, jwt, seed })
    try {
      const answer = await client.request('$SYS.REQ.CLAIMS.UPDATE', jwts[account])
      const { error, data } = JSON.parse(answer.data.toString('utf8')) as Record<string, unknown>
      if (error !== undefined || data === undefined) {
        throw new Error(`pushing account '${account}': ${JSON.stringify(error)}`)
      }
    } finally {
      await client.close()
    }
  }

  return {
    operatorJwt,
    accounts: ids,
    accountJwt: (account) => jwts[account],
    accountSeed: (account) => seedOf(keys[account]),
    operatorSeed: seedOf(operator),
    userJwt: (options) => userFor(keys[options.account], options),
    serverConfig: (resolverDir) => serverConfig(operatorJwt, ids, jwts, resolverDir),
    pushAccount,
    pushRevocation: (server, account, user) =>
      pushAccount(server, account, {
        revocations: { ...claims[account].revocations, [user]: now() },
      }),
  }
}

async function userFor(account: KeyPair, options: UserOptions): Promise<UserCredentials> {
  const pair = createUser()
  const name = options.name ?? 'user'
  const body: Partial<User> = {
    ...options.permissions,
    subs: -1,
    data: -1,
    payload: -1,
    bearer_token: options.bearer === true,
    ...(options.connectionTypes && { allowed_connection_types: [...options.connectionTypes] }),
  }
  const jwt = await encodeUser(name, pair, account, body, {
    ...(options.expiresIn !== undefined && { exp: now() + options.expiresIn }),
    ...(options.notBefore !== undefined && { nbf: now() + options.notBefore }),
  })
  const seed = seedOf(pair)
  return { jwt, seed, publicKey: pair.getPublicKey(), creds: credsText(jwt, seed) }
}

function credsText(jwt: string, seed: string): string {
  return [
    '-----BEGIN NATS USER JWT-----',
    jwt,
    '------END NATS USER JWT------',
    '',
    '-----BEGIN USER NKEY SEED-----',
    seed,
    '------END USER NKEY SEED------',
    '',
  ].join('\n')
}

function serverConfig(
  operatorJwt: string,
  ids: Readonly<Record<AccountName, string>>,
  jwts: Readonly<Record<AccountName, string>>,
  resolverDir: string,
): string {
  const preload = (['SYS', 'IOT', 'SERVICES'] as const).map((a) => `  ${ids[a]}: ${jwts[a]}`)
  return [
    `operator: ${operatorJwt}`,
    `system_account: ${ids.SYS}`,
    `resolver { type: full, dir: "${resolverDir}", allow_delete: true, interval: "2m" }`,
    `resolver_preload {\n${preload.join('\n')}\n}`,
  ].join('\n')
}
