import { describe, expect, test } from 'vitest'
import { InOrder } from '../../../../src/mqtt/embedded/in-order.ts'
import { streamPair } from '../../../../src/mqtt/embedded/stream-pair.ts'
import { eventually } from '../../../support/eventually.ts'

describe('a pair of streams', () => {
  test('each reads what the other wrote, also when the writer uses its buffer again', async () => {
    const [a, b] = streamPair()
    const got: string[] = []
    b.on('data', (chunk: Buffer) => got.push(chunk.toString()))
    const buffer = Buffer.from('one')
    a.write(buffer, () => buffer.write('two'))
    await eventually('the bytes', () => got.length === 1)
    expect(got).toEqual(['one'])
  })

  test('a writer is held back while the other does not read, and nothing is lost', async () => {
    const [a, b] = streamPair()
    let written = 0
    for (let i = 0; i < 100; i++) a.write(Buffer.alloc(10_000, i), () => written++)
    await eventually('the first writes', () => written > 0)
    expect(written).toBeLessThan(20)
    const got: Buffer[] = []
    b.on('data', (chunk: Buffer) => got.push(chunk))
    await eventually('all writes', () => written === 100)
    const all = Buffer.concat(got)
    expect(all.length).toBe(1_000_000)
    expect(all.every((byte, i) => byte === Math.floor(i / 10_000))).toBe(true)
  })

  test.each(['end', 'destroy'] as const)('%s on one side closes both', async (how) => {
    const [a, b] = streamPair()
    b.resume()
    a.resume()
    a[how]()
    await eventually('both closed', () => a.closed && b.closed)
  })

  test('what was written before the end arrives', async () => {
    const [a, b] = streamPair()
    a.write('last')
    a.end()
    const got: string[] = []
    b.on('data', (chunk: Buffer) => got.push(chunk.toString()))
    await eventually('the end', () => b.readableEnded)
    expect(got).toEqual(['last'])
  })
})

describe('steps in order', () => {
  test('run as they were added, whenever they become ready', () => {
    const order = new InOrder()
    const ran: number[] = []
    const [one, two, three] = [1, 2, 3].map((n) => order.add(() => ran.push(n)))
    two?.()
    three?.()
    expect(ran).toEqual([])
    expect(order.size).toBe(3)
    one?.()
    expect(ran).toEqual([1, 2, 3])
    expect(order.size).toBe(0)
  })

  test('forgotten steps do not run', () => {
    const order = new InOrder()
    let ran = 0
    const ready = order.add(() => ran++)
    order.clear()
    ready()
    expect(ran).toBe(0)
  })
})
