import { BridgeError } from '../core/errors.ts'

/** What the bridge needs to know of a stream. */
export interface StreamFacts {
  readonly name: string
  readonly subjects: readonly string[]
  /** False for `no_ack` streams: nothing can be settled by them. */
  readonly acknowledges: boolean
  /** `workqueue` streams let only one consumer have a message. */
  readonly retention: string
  readonly duplicateWindowSeconds: number
  readonly full: 'old' | 'new'
  /** Stores messages under other subjects than they were published to. */
  readonly renames: boolean
}

/** Asks the JetStream API; the reply is JSON. */
export type ApiRequest = (subject: string, body: object) => Promise<Record<string, unknown>>

/** Turns a request function into one that speaks JSON and throws what the API reports. */
export function jetStreamApi(
  request: (subject: string, payload: string, timeoutMs: number) => Promise<Uint8Array>,
): ApiRequest {
  return async (subject, body) => {
    const reply = await request(`$JS.API.${subject}`, JSON.stringify(body), API_TIMEOUT)
    const answer = parse(reply, subject)
    const error = answer['error'] as
      | { err_code?: number; code?: number; description?: string }
      | undefined
    if (error !== undefined) throw new ApiError(subject, error)
    return answer
  }
}

const API_TIMEOUT = 5_000

/** An error the JetStream API reported, with its number. */
export class ApiError extends BridgeError {
  /** `err_code` of the API, e.g. 10014 consumer not found. */
  readonly number: number

  constructor(subject: string, error: { err_code?: number; code?: number; description?: string }) {
    super(`asking JetStream for '${subject}': ${error.description ?? 'error'}`, {
      code:
        error.code === 503 && !isPassing(error.err_code) ? 'NATS_NO_JETSTREAM' : 'NATS_CONSUMER',
    })
    this.number = error.err_code ?? 0
  }
}

function parse(reply: Uint8Array, subject: string): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(reply).toString('utf8')) as Record<string, unknown>
  } catch (cause) {
    throw new BridgeError(`asking JetStream for '${subject}': unreadable answer`, {
      code: 'PROTOCOL_ERROR',
      cause,
    })
  }
}

/** A cluster that elects its leader, or lacks resources, has JetStream all the same, and soon says so. */
function isPassing(number: number | undefined): boolean {
  return number === CLUSTER_NOT_AVAILABLE || number === INSUFFICIENT_RESOURCES
}

const CLUSTER_NOT_AVAILABLE = 10_008
const INSUFFICIENT_RESOURCES = 10_023

/** Most streams looked at; an account with more is told so by the caller. */
const MAX_STREAMS = 10_000

/**
 * Lists the streams that can take part: those of `$`-subjects (key-value buckets, object stores, the
 * server's MQTT sessions, our own) never do.
 * Source: `$JS.API.STREAM.LIST`, pages of 256.
 */
export async function listStreams(api: ApiRequest): Promise<StreamFacts[]> {
  const found: StreamFacts[] = []
  for (let offset = 0; offset < MAX_STREAMS; ) {
    const page = await api('STREAM.LIST', { offset })
    const streams = (page['streams'] as { config: StreamConfig }[] | null) ?? []
    for (const { config } of streams) {
      const facts = factsOf(config)
      if (facts !== undefined) found.push(facts)
    }
    offset += streams.length
    if (streams.length === 0 || offset >= Number(page['total'] ?? 0)) break
  }
  return found
}

interface StreamConfig {
  readonly name: string
  readonly subjects?: readonly string[]
  readonly no_ack?: boolean
  readonly retention: string
  readonly duplicate_window?: number
  readonly discard?: string
  readonly sealed?: boolean
  readonly subject_transform?: object | null
}

function factsOf(config: StreamConfig): StreamFacts | undefined {
  const subjects = (config.subjects ?? []).filter((subject) => !subject.startsWith('$'))
  if (subjects.length === 0 || config.sealed === true) return undefined
  return {
    name: config.name,
    subjects,
    acknowledges: config.no_ack !== true,
    retention: config.retention,
    duplicateWindowSeconds: (config.duplicate_window ?? 0) / 1e9,
    full: config.discard === 'new' ? 'new' : 'old',
    renames: Boolean(config.subject_transform),
  }
}
