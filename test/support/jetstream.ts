import { randomUUID } from 'node:crypto'
import { eventually } from './eventually.ts'
import type { NatsMessage } from './nats-parser.ts'
import type { Headers, RawNats } from './raw-nats.ts'

/** A message as it lies in a stream. */
export interface StoredMessage extends Pick<NatsMessage, 'subject' | 'headers' | 'data'> {
  readonly seq: number
}

export interface StreamInfo {
  readonly config: Record<string, unknown> & { readonly name: string }
  readonly state: {
    readonly messages: number
    readonly bytes: number
    readonly first_seq: number
    readonly last_seq: number
    readonly consumer_count: number
  }
}

export interface ConsumerInfo {
  readonly name: string
  readonly config: Record<string, unknown>
  readonly delivered: { readonly consumer_seq: number; readonly stream_seq: number }
  readonly ack_floor: { readonly consumer_seq: number; readonly stream_seq: number }
  readonly num_ack_pending: number
  readonly num_redelivered: number
  readonly num_waiting: number
  readonly num_pending: number
}

/** Asks the JetStream API; throws with the server's description when it says no. `api` begins after `$JS.API.`. */
export async function jetStreamApi<T>(nats: RawNats, api: string, body: object = {}): Promise<T> {
  const answer = await nats.request(`$JS.API.${api}`, JSON.stringify(body))
  if (answer.status !== '') throw new Error(`asking JetStream '${api}': status ${answer.status}`)
  const { error, ...rest } = JSON.parse(answer.data.toString('utf8')) as {
    error?: { description: string; err_code: number }
  }
  if (error) throw new Error(`asking JetStream '${api}': ${error.description} (${error.err_code})`)
  return rest as T
}

/** Creates a stream in files; `config` adds or overrides fields of the API. */
export function createStream(
  nats: RawNats,
  name: string,
  subjects: readonly string[],
  config: Record<string, unknown> = {},
): Promise<StreamInfo> {
  const body = { name, subjects, storage: 'file', retention: 'limits', num_replicas: 1, ...config }
  return jetStreamApi(nats, `STREAM.CREATE.${name}`, body)
}

export function streamInfo(nats: RawNats, name: string): Promise<StreamInfo> {
  return jetStreamApi(nats, `STREAM.INFO.${name}`)
}

export async function streamNames(nats: RawNats): Promise<string[]> {
  const { streams } = await jetStreamApi<{ streams: string[] | null }>(nats, 'STREAM.NAMES')
  return streams ?? []
}

export function consumerInfo(nats: RawNats, stream: string, name: string): Promise<ConsumerInfo> {
  return jetStreamApi(nats, `CONSUMER.INFO.${stream}.${name}`)
}

export async function consumerNames(nats: RawNats, stream: string): Promise<string[]> {
  const api = `CONSUMER.NAMES.${stream}`
  const { consumers } = await jetStreamApi<{ consumers: string[] | null }>(nats, api)
  return consumers ?? []
}

/** Publishes and waits for the stream's acknowledgement. */
export async function publishStored(
  nats: RawNats,
  subject: string,
  data: string | Uint8Array = '',
  headers?: Headers,
): Promise<{ stream: string; seq: number; duplicate?: boolean }> {
  const answer = await nats.request(subject, data, headers ? { headers } : {})
  if (answer.status !== '') throw new Error(`publishing to '${subject}': status ${answer.status}`)
  const ack = JSON.parse(answer.data.toString('utf8')) as {
    stream: string
    seq: number
    duplicate?: boolean
    error?: { description: string }
  }
  if (ack.error) throw new Error(`publishing to '${subject}': ${ack.error.description}`)
  return ack
}

/** Every message that lies in a stream now, in order, read through a passing consumer without acknowledgements. */
export async function readStream(nats: RawNats, stream: string): Promise<StoredMessage[]> {
  const inbox = `_INBOX.read.${randomUUID().replaceAll('-', '')}`
  const subscription = nats.subscribe(inbox)
  const name = `read-${randomUUID().slice(0, 8)}`
  const config = {
    name,
    deliver_subject: inbox,
    deliver_policy: 'all',
    ack_policy: 'none',
    replay_policy: 'instant',
    mem_storage: true,
    inactive_threshold: 30_000_000_000,
  }
  const api = `CONSUMER.CREATE.${stream}.${name}`
  try {
    const { state } = await streamInfo(nats, stream)
    await jetStreamApi(nats, api, { stream_name: stream, config })
    const last = () => subscription.received.at(-1)
    if (state.messages > 0) {
      const end = () => last() !== undefined && place(last()?.reply ?? '').pending === 0
      await eventually(`reading stream '${stream}' to its end`, end, { deadline: 60_000 })
    }
    await jetStreamApi(nats, `CONSUMER.DELETE.${stream}.${name}`)
  } finally {
    subscription.unsubscribe()
  }
  return subscription.received.map(({ subject, headers, data, reply }) => {
    return { seq: place(reply).seq, subject, headers, data }
  })
}

/** Stream sequence and messages still to come, from the reply subject `$JS.ACK.…` of a delivery. */
function place(reply: string): { seq: number; pending: number } {
  const tokens = reply.split('.')
  // With a domain and account hash there are two more tokens after `$JS.ACK`.
  const at = tokens.length > 9 ? 2 : 0
  return { seq: Number(tokens[5 + at]), pending: Number(tokens[8 + at]) }
}
