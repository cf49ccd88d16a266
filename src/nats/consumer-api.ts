import { generationOf } from './consumer-names.ts'
import { ApiError, type ApiRequest } from './streams.ts'

const CONSUMER_NOT_FOUND = 10_014

/** What the JetStream API says of a consumer, as far as it is looked at. */
export interface ConsumerInfo {
  readonly name: string
  readonly config: {
    readonly filter_subject?: string
    readonly filter_subjects?: readonly string[]
    readonly deliver_policy?: string
    readonly opt_start_seq?: number
    readonly opt_start_time?: string
  }
  readonly delivered: { consumer_seq: number; stream_seq: number }
  readonly ack_floor: { consumer_seq: number; stream_seq: number }
  readonly num_ack_pending: number
}

/** Consumers of a stream whose names begin like ours, the newest last. */
export async function generations(
  api: ApiRequest,
  stream: string,
  base: string,
): Promise<{ readonly name: string; readonly generation: number }[]> {
  const found: { name: string; generation: number }[] = []
  for (let offset = 0; ; ) {
    const page = await api(`CONSUMER.NAMES.${stream}`, { offset })
    const names = (page['consumers'] as string[] | null) ?? []
    for (const name of names) {
      const generation = generationOf(name, base)
      if (generation >= 0) found.push({ name, generation })
    }
    offset += names.length
    if (names.length === 0 || offset >= Number(page['total'] ?? 0)) break
  }
  return found.sort((a, b) => a.generation - b.generation)
}

/** Undefined when there is no such consumer. */
export async function consumerInfo(
  api: ApiRequest,
  stream: string,
  name: string,
): Promise<ConsumerInfo | undefined> {
  try {
    return (await api(`CONSUMER.INFO.${stream}.${name}`, {})) as unknown as ConsumerInfo
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** Deletes a consumer; one that is gone already is no failure. */
export async function removeConsumer(api: ApiRequest, stream: string, name: string): Promise<void> {
  try {
    await api(`CONSUMER.DELETE.${stream}.${name}`, {})
  } catch (error) {
    if (!isGone(error)) throw error
  }
}

/** When a stream was made, and the sequence of its last message. */
export async function streamPlace(
  api: ApiRequest,
  stream: string,
): Promise<{ readonly created: string; readonly lastSequence: number }> {
  const { created, state } = await api(`STREAM.INFO.${stream}`, {})
  const last = (state as { last_seq?: number } | undefined)?.last_seq
  return { created: String(created), lastSequence: last ?? 0 }
}

function isGone(error: unknown): boolean {
  return error instanceof ApiError && error.number === CONSUMER_NOT_FOUND
}
