import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseLogs, startBridge, sumMetric, unbalanced } from '../../support/bridge-process.ts'
import { eventually } from '../../support/eventually.ts'
import { tempFolder } from '../../support/temp.ts'

/** Stands in for the bridge: endpoints, a log line, and an end on SIGTERM. */
const FAKE = `
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
const file = process.argv[process.argv.indexOf('--config') + 1]
const read = () => JSON.parse(readFileSync(file, 'utf8'))
const [host, port] = read().http.listen.split(':')
let ready = false
createServer((request, response) => {
  if (request.url === '/readyz') response.writeHead(ready ? 200 : 503).end('mqtt: connecting')
  else if (request.url === '/metrics') response.end('mqttnats_up{side="mqtt"} 1\\n')
  else response.end(JSON.stringify({ ready, routes: [], config: read(), mark: process.env.MARK }))
}).listen(Number(port), host)
console.log('not json')
console.log(JSON.stringify({ level: 'info', msg: 'started', args: process.argv.slice(2) }))
if (read().fail) process.exit(2)
if (!read().never) setTimeout(() => { ready = true }, 30)
process.on('SIGHUP', () => console.log(JSON.stringify({ msg: 'reloaded' })))
process.on('SIGTERM', () => process.exit(0))
`

async function fake() {
  const folder = await tempFolder()
  const program = join(folder.path, 'fake.mjs')
  await writeFile(program, FAKE)
  return { ...folder, program }
}

describe('a bridge process', () => {
  it('is started with its configuration, waited for, asked and stopped', async () => {
    await using folder = await fake()
    await using bridge = await startBridge({
      program: folder.program,
      config: { mqtt: { url: 'mqtt://x' } },
      env: { MARK: 'here' },
    })
    expect(await bridge.ready()).toBe(true)
    expect(await bridge.status()).toMatchObject({
      ready: true,
      mark: 'here',
      config: { mqtt: { url: 'mqtt://x' } },
    })
    expect(await bridge.metric('mqttnats_up', { side: 'mqtt' })).toBe(1)
    expect(await bridge.rss()).toBeGreaterThan(1_000_000)
    expect(bridge.logs()).toEqual([
      { level: 'info', msg: 'started', args: ['run', '--config', bridge.configFile] },
    ])
    bridge.signal('SIGHUP')
    await eventually('reload', () => bridge.logs().some((line) => line.msg === 'reloaded'))
    expect(await bridge.stop()).toEqual({ code: 0, signal: null })
    expect(await bridge.ready()).toBe(false)
  })

  it('is started again after a kill on the same port, with a changed configuration', async () => {
    await using folder = await fake()
    await using bridge = await startBridge({ program: folder.program, config: {} })
    const first = bridge.pid()
    expect(await bridge.kill()).toMatchObject({ signal: 'SIGKILL' })
    await bridge.configure({ nats: { name: 'other' } })
    await bridge.restart()
    expect(bridge.pid()).not.toBe(first)
    expect(await bridge.status()).toMatchObject({ config: { nats: { name: 'other' } } })
    expect(bridge.logs().filter((line) => line.msg === 'started')).toHaveLength(2)
  })

  it('that ends at once fails the start with its exit code and output', async () => {
    await using folder = await fake()
    const start = startBridge({ program: folder.program, config: { fail: true } })
    await expect(start).rejects.toThrow(/ended with 2[\s\S]*started/)
  })

  it('that never gets ready fails the start with its reasons', async () => {
    await using folder = await fake()
    const start = startBridge({ program: folder.program, config: { never: true }, deadline: 500 })
    await expect(start).rejects.toThrow('mqtt: connecting')
  })
})

describe('what a bridge prints', () => {
  it('is read as JSON lines, other lines are left out', () => {
    expect(parseLogs('{"msg":"a"}\nplain\n{broken\n{"msg":"b"}')).toEqual([
      { msg: 'a' },
      { msg: 'b' },
    ])
  })

  it('is read as metrics, summed over the label sets that fit', () => {
    const text = [
      '# HELP m_total Messages',
      'm_total{route="#",side="mqtt"} 3',
      'm_total{route="#",side="nats"} 4',
      'm_total{xside="mqtt"} 50',
      'm_total_created 9',
      'plain 2',
    ].join('\n')
    expect(sumMetric(text, 'm_total', { route: '#' })).toBe(7)
    expect(sumMetric(text, 'm_total', { side: 'mqtt' })).toBe(3)
    expect(sumMetric(text, 'm_total', { side: 'other' })).toBeUndefined()
    expect(sumMetric(text, 'plain', {})).toBe(2)
  })

  it('is checked for books that do not balance', () => {
    const books = { forwarded: 5, filtered: 1, dropped: { a: 1, b: 1 }, deadLettered: 1 }
    const route = { name: '#', direction: 'mqttToNats', delivery: 'live', ...books, inFlight: 1 }
    const links = { mqtt: { state: 'connected' }, nats: { state: 'connected' } }
    const status = { ready: true, reasons: [], connections: links }
    const good = { ...route, received: 10 }
    const bad = { ...route, received: 11 }
    expect(unbalanced({ ...status, routes: [good] })).toEqual([])
    expect(unbalanced({ ...status, routes: [good, bad] })).toEqual([
      '# mqttToNats: received 11, accounted for 10',
    ])
  })
})
