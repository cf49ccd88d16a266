import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Child, runProgram, startChild } from '../support/child.ts'
import { eventually } from '../support/eventually.ts'
import { tempFolder } from '../support/temp.ts'

const PROGRAM = join(import.meta.dirname, '../../dist/main.js')

describe('the demo', () => {
  it('carries messages both ways, shows them, and leaves nothing behind', async () => {
    const demo = await startDemo()
    const { mqtt, nats, data } = await demo.places()
    await runProgram('mosquitto_pub', [
      ...['-p', mqtt, '-q', '1', '-t', 'mqtt/sensors/temp', '-m', '21.5'],
    ])
    await eventually('the topic on NATS', () =>
      demo.shows('MQTT mqtt/sensors/temp → NATS sensors.temp  21.5\n'),
    )

    const listener = await startChild('mosquitto_sub', [
      '-p',
      mqtt,
      '-t',
      'mqtt/#',
      '-v',
      '-C',
      '1',
    ])
    const publish = () =>
      connect(Number(nats), '127.0.0.1').end('CONNECT {}\r\nPUB sensors.temp 4\r\n22.5\r\n')
    // it says nothing of its subscription, so what was published before is not for it
    await eventually('the subject on MQTT', () => publish() && listener.ending() !== undefined, {
      interval: 100,
    })
    expect(listener.stdout()).toBe('mqtt/sensors/temp 22.5\n')
    expect(demo.shows('NATS sensors.temp → MQTT mqtt/sensors/temp  22.5\n')).toBe(true)

    // npm hands on the Ctrl-C that the terminal had sent to the demo too
    demo.child.signal('SIGINT')
    demo.child.signal('SIGINT')
    expect(await demo.child.ended).toEqual({ code: 0, signal: null })
    expect(existsSync(data)).toBe(false)
    expect(await listens(nats)).toBe(false)
    expect(await listens(mqtt)).toBe(false)
  })

  it('takes other ports when the usual ones are taken, and keeps the folder it is given', async () => {
    await using folder = await tempFolder()
    const data = join(folder.path, 'kept')
    const first = await startDemo()
    const one = await first.places()
    const second = await startDemo('--data', data)
    const two = await second.places()
    expect(two.mqtt).not.toBe(one.mqtt)
    expect(two.nats).not.toBe(one.nats)
    expect(second.child.stderr()).toMatch(/port 1883 is taken, mqtt uses \d+/)
    await runProgram('mosquitto_pub', ['-p', two.mqtt, '-t', 'mqtt/a', '-m', 'x'])
    await eventually('the message', () => second.shows('MQTT mqtt/a → NATS a  x\n'))
    expect(await first.child.stop()).toEqual({ code: 0, signal: null })
    expect(await second.child.stop()).toEqual({ code: 0, signal: null })
    expect(existsSync(data)).toBe(true)
  })

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'takes the server along when %s cuts it short',
    async (signal) => {
      const demo = await startDemo()
      const { nats, data } = await demo.places()
      await eventually('the end of the demo', () => {
        demo.child.signal(signal)
        return demo.child.ending() !== undefined
      })
      await eventually('the server to be gone', async () => !(await listens(nats)))
      await eventually('the folder to be gone', () => !existsSync(data))
    },
  )

  it('says why when the server cannot be started, and leaves nothing behind', async () => {
    await using folder = await tempFolder()
    const file = join(folder.path, 'file')
    await writeFile(file, '')
    const { child } = await startDemo('--data', join(file, 'below'))
    expect(await child.ended).toEqual({ code: 1, signal: null })
    expect(child.stderr()).toContain('ENOTDIR')
  })
})

async function startDemo(...args: string[]) {
  const child: Child = await startChild(process.execPath, [PROGRAM, 'demo', ...args])
  return {
    child,
    shows: (text: string) => child.stdout().includes(text),
    places: async () => {
      await eventually(
        'the demo to be ready',
        () => ended(child) ?? child.stdout().includes('What crosses'),
        {
          deadline: 30_000,
        },
      )
      const found = (pattern: RegExp) => pattern.exec(child.stdout())?.[1] ?? ''
      return {
        mqtt: found(/mqtt:\/\/127\.0\.0\.1:(\d+)/),
        nats: found(/nats:\/\/127\.0\.0\.1:(\d+)/),
        data: found(/JetStream in ([^\s,]+)/),
      }
    },
  }
}

function ended(child: Child): undefined {
  if (child.ending() !== undefined) throw new Error(`the demo ended: ${child.stderr()}`)
}

function listens(port: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(port), '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
