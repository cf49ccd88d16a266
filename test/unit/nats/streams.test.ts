import { describe, expect, test } from 'vitest'
import { ApiError, type ApiRequest, jetStreamApi, listStreams } from '../../../src/nats/streams.ts'

describe('the JetStream API', () => {
  const api = (reply: string) => jetStreamApi(async () => Buffer.from(reply))

  test('is asked in JSON under its prefix', async () => {
    const asked: unknown[] = []
    const ask = jetStreamApi(async (...all) => {
      asked.push(all)
      return Buffer.from('{"ok":1}')
    })
    expect(await ask('STREAM.LIST', { offset: 3 })).toEqual({ ok: 1 })
    expect(asked).toEqual([['$JS.API.STREAM.LIST', '{"offset":3}', 5_000]])
  })

  test('throws what it reports, with its number', async () => {
    const gone = api('{"error":{"code":404,"err_code":10014,"description":"consumer not found"}}')
    const error = await gone('X', {}).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ApiError)
    expect(error).toMatchObject({ number: 10_014, code: 'NATS_CONSUMER' })
    await expect(api('{"error":{"code":503}}')('X', {})).rejects.toMatchObject({
      number: 0,
      code: 'NATS_NO_JETSTREAM',
    })
  })

  test('is there all the same while a cluster elects its leader', async () => {
    const electing = api('{"error":{"code":503,"err_code":10008,"description":"unavailable"}}')
    await expect(electing('X', {})).rejects.toMatchObject({ code: 'NATS_CONSUMER' })
    const never = api('{"error":{"code":503,"err_code":10039,"description":"not enabled"}}')
    await expect(never('X', {})).rejects.toMatchObject({ code: 'NATS_NO_JETSTREAM' })
  })

  test('breaks off at an answer that is no JSON', async () => {
    await expect(api('{')('X', {})).rejects.toMatchObject({ code: 'PROTOCOL_ERROR' })
  })
})

describe('the list of streams', () => {
  const plain = { name: 'S', subjects: ['a.>'], retention: 'limits' }

  /** An API that answers in pages of two. */
  function paged(configs: readonly object[]): ApiRequest {
    return async (_subject, body) => {
      const { offset } = body as { offset: number }
      const streams = configs.slice(offset, offset + 2).map((config) => ({ config }))
      return { total: configs.length, streams: streams.length === 0 ? null : streams }
    }
  }

  test('is read to its last page', async () => {
    const names = ['A', 'B', 'C', 'D', 'E']
    const found = await listStreams(paged(names.map((name) => ({ ...plain, name }))))
    expect(found.map(({ name }) => name)).toEqual(names)
    expect(await listStreams(paged([]))).toEqual([])
    expect(await listStreams(async () => ({ total: 9, streams: [] }))).toEqual([])
  })

  test('leaves out streams of reserved subjects, mirrors and sealed ones', async () => {
    const found = await listStreams(
      paged([
        { ...plain, name: 'KV_x', subjects: ['$KV.x.>'] },
        { ...plain, name: 'mirror', subjects: undefined },
        { ...plain, name: 'sealed', sealed: true },
        {
          ...plain,
          subjects: ['$JS.x', 'b'],
          no_ack: true,
          duplicate_window: 120e9,
          discard: 'new',
        },
        { ...plain, subject_transform: { src: '>', dest: 'x.>' } },
      ]),
    )
    const facts = { name: 'S', retention: 'limits', renames: false }
    expect(found).toEqual([
      {
        ...facts,
        subjects: ['b'],
        acknowledges: false,
        duplicateWindowSeconds: 120,
        full: 'new',
      },
      {
        ...facts,
        subjects: ['a.>'],
        acknowledges: true,
        duplicateWindowSeconds: 0,
        full: 'old',
        renames: true,
      },
    ])
  })
})
