import { get, type IncomingMessage } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import type { Decision, DecisionListener } from '../../../src/core/decision.ts'
import { MessageView } from '../../../src/core/message-view.ts'
import type { Clock } from '../../../src/core/ports.ts'
import { HttpServer } from '../../../src/ops/http.ts'
import { TapFeed } from '../../../src/ops/tap.ts'
import { eventually } from '../../support/eventually.ts'

const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

describe('the tap page', () => {
  it('tells every decision, one JSON line each', async () => {
    const { watch, decide, pass } = await stage()
    const reader = await watch()
    decide({ name: 'a' })
    decide({ name: 'b' })
    pass()
    expect(await reader.lines(2)).toEqual([
      { time: '1970-01-01T00:00:01.000Z', ...DECISION, name: 'a' },
      { time: '1970-01-01T00:00:01.000Z', ...DECISION, name: 'b' },
    ])
  })

  it('tells only what the filter matches, and refuses a filter that is none', async () => {
    const { watch, decide, pass, url } = await stage()
    const reader = await watch('?filter=b')
    decide({ name: 'a' })
    decide({ name: 'b' })
    pass()
    expect((await reader.lines(1)).map(({ name }) => name)).toEqual(['b'])
    const answer = await fetch(`${url}/tap?filter=%23bad`)
    expect(answer.status).toBe(400)
    expect(await answer.text()).toBe("filter '#bad' is wrong\n")
  })

  it('listens only while somebody watches', async () => {
    const { watch, listening } = await stage()
    expect(listening()).toBe(false)
    const [one, two] = [await watch(), await watch()]
    expect(listening()).toBe(true)
    one.leave()
    two.leave()
    await eventually('nobody to listen', () => !listening())
  })

  it('skips what is more than people can read, and says how much', async () => {
    const { watch, decide, pass } = await stage()
    const reader = await watch()
    for (let sent = 0; sent < 507; sent++) decide({})
    pass()
    const lines = await reader.lines(501)
    expect(lines.at(-1)).toEqual({ skipped: 7 })
    decide({ name: 'later' })
    pass()
    expect((await reader.lines(502)).at(-1)).toMatchObject({ name: 'later' })
  })

  it('skips while the reader does not read, and says so when it does', async () => {
    const { watch, decide, pass } = await stage()
    const reader = await watch()
    reader.response.pause()
    const name = 'n'.repeat(10_000)
    for (let round = 0; round < 40; round++) {
      for (let sent = 0; sent < 100; sent++) decide({ name })
      pass()
      await new Promise(setImmediate)
    }
    reader.response.resume()
    await eventually('word of what was skipped', () => {
      pass()
      return reader.text().includes('{"skipped":')
    })
    const skipped = [...reader.text().matchAll(/\{"skipped":(\d+)\}/g)]
    const shown = reader
      .text()
      .split('\n')
      .filter((line) => line.includes(name)).length
    expect(shown + skipped.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(4000)
  })

  it('turns the ninth watcher away', async () => {
    const { watch, url } = await stage()
    for (let count = 0; count < 8; count++) await watch()
    const answer = await fetch(`${url}/tap`)
    expect(answer.status).toBe(503)
    await answer.text()
  })

  it('answers HEAD without watching, and ends every answer at stop', async () => {
    const { watch, url, listening, feed } = await stage()
    expect((await fetch(`${url}/tap`, { method: 'HEAD' })).status).toBe(200)
    expect(listening()).toBe(false)
    const reader = await watch()
    feed.stop()
    await eventually('the end', () => reader.response.readableEnded)
    expect(listening()).toBe(false)
  })
})

const DECISION: Decision = {
  direction: 'mqttToNats',
  route: '#',
  name: 'a',
  address: 'a',
  qos: 1,
  retain: false,
  bytes: 4,
  outcome: 'inFlight',
}

async function stage() {
  let listener: DecisionListener | undefined
  let due: (() => void) | undefined
  const clock: Clock = {
    now: () => 1000,
    monotonic: () => 0,
    after: (_, callback) => {
      due = callback
      return () => {
        due = undefined
      }
    },
    random: () => 0,
  }
  const feed = new TapFeed({
    clock,
    listen: (given) => {
      listener = given
    },
    checkFilter: (filter) => (filter.startsWith('#') ? 'is wrong' : undefined),
    matches: (filter, { name }) => filter === name,
  })
  const silent = () => undefined
  const logger = { debug: silent, info: silent, warn: silent, error: silent, failure: silent }
  const server = new HttpServer({ host: '127.0.0.1', port: 0 }, { '/tap': feed.handler }, logger)
  await server.start()
  cleanups.push(() => server.stop())
  const url = `http://127.0.0.1:${server.port}`
  return {
    feed,
    url,
    watch: (query = '') => reader(`${url}/tap${query}`),
    decide: (changes: Partial<Decision>) =>
      listener?.({ ...DECISION, ...changes }, new MessageView()),
    pass: () => due?.(),
    listening: () => listener !== undefined,
  }
}

async function reader(url: string) {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, resolve).on('error', reject)
  })
  let text = ''
  response.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  response.on('error', () => undefined)
  cleanups.unshift(async () => void response.destroy())
  return {
    response,
    text: () => text,
    leave: () => response.destroy(),
    lines: (count: number) =>
      eventually(`${count} lines`, () => {
        const lines = text.split('\n').slice(0, -1)
        if (lines.length < count) return undefined
        return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
      }),
  }
}
