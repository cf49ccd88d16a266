import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runProgram, startChild } from '../../support/child.ts'
import { eventually } from '../../support/eventually.ts'
import { freePort } from '../../support/ports.ts'
import { tempFolder } from '../../support/temp.ts'

const node = process.execPath

describe('child processes', () => {
  it('hand back what they print and how they end', async () => {
    const { stdout, stderr } = await runProgram(node, [
      '-e',
      'console.log("out"); console.error("err")',
    ])
    expect([stdout, stderr]).toEqual(['out\n', 'err\n'])
    await expect(runProgram(node, ['-e', 'console.error("why"); process.exit(3)'])).rejects.toThrow(
      /ended with 3: why/,
    )
  })

  it('reject when the program does not exist', async () => {
    await expect(runProgram('/no/such/program', [])).rejects.toThrow()
  })

  it('stop by the signal given, and by SIGKILL when they do not listen', async () => {
    const polite = await startChild(node, ['-e', 'setInterval(() => {}, 1000)'])
    expect(await polite.stop()).toEqual({ code: null, signal: 'SIGTERM' })
    const deaf = 'process.on("SIGTERM", () => {}); console.log("up"); setInterval(() => {}, 1000)'
    const stubborn = await startChild(node, ['-e', deaf])
    await eventually('the child to listen', () => stubborn.stdout() === 'up\n')
    expect(await stubborn.stop('SIGTERM', 50)).toEqual({ code: null, signal: 'SIGKILL' })
    expect(stubborn.ending()).toEqual({ code: null, signal: 'SIGKILL' })
  })

  it('have the pid that is reported', async () => {
    const child = await startChild(node, ['-e', 'console.log(process.pid)'])
    await child.ended
    expect(child.stdout()).toBe(`${child.pid}\n`)
  })
})

describe('free ports', () => {
  it('can be listened on and are never given twice', async () => {
    const ports = await Promise.all(Array.from({ length: 50 }, () => freePort()))
    expect(new Set(ports).size).toBe(50)
    const server = createServer((socket) => socket.end('here'))
    server.listen(ports[0], '127.0.0.1')
    await once(server, 'listening')
    const socket = connect(ports[0] ?? 0, '127.0.0.1')
    expect(String((await once(socket, 'data'))[0])).toBe('here')
    server.close()
  })
})

describe('temporary folders', () => {
  it('are there, and gone after disposal with all that is in them', async () => {
    let path = ''
    {
      await using folder = await tempFolder()
      path = folder.path
      await writeFile(join(path, 'file'), 'x')
      expect(existsSync(join(path, 'file'))).toBe(true)
    }
    expect(existsSync(path)).toBe(false)
  })
})
