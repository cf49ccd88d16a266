import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import { watchFiles } from '../../../src/config/watch.ts'
import type { Logger } from '../../../src/core/ports.ts'
import { eventually } from '../../support/eventually.ts'
import { tempFolder } from '../../support/temp.ts'

const NEVER = { interval: 1_000_000 }

it('reports each file that changes, appears or vanishes, and only those', async () => {
  await using folder = await tempFolder()
  const [a, b, c] = ['a', 'b', 'c'].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ]
  writeFileSync(a, '1')
  writeFileSync(c, '1')
  const changed: string[] = []
  const watcher = watchFiles([a, b, c], (path) => changed.push(path), NEVER)
  watcher.start()
  await watcher.poll()
  expect(changed).toEqual([])
  writeFileSync(a, '22')
  writeFileSync(b, '1')
  await watcher.poll()
  expect(changed).toEqual([a, b])
  rmSync(b)
  await Promise.all([watcher.poll(), watcher.poll()])
  await watcher.poll()
  expect(changed).toEqual([a, b, b])
  watcher.stop()
})

it('notices a mounted secret that is replaced by swapping the ..data link', async () => {
  await using folder = await tempFolder()
  for (const version of ['..v1', '..v2']) {
    mkdirSync(join(folder.path, version))
    writeFileSync(join(folder.path, version, 'password'), version)
  }
  symlinkSync('..v1', join(folder.path, '..data'))
  const file = join(folder.path, 'password')
  symlinkSync('..data/password', file)
  const onChange = vi.fn()
  const watcher = watchFiles([file], onChange)
  watcher.start()
  watcher.start()
  symlinkSync('..v2', join(folder.path, '..data_tmp'))
  renameSync(join(folder.path, '..data_tmp'), join(folder.path, '..data'))
  await eventually('the change', () => onChange.mock.calls.length > 0, { deadline: 2000 })
  expect(onChange.mock.calls).toEqual([[file]])
  watcher.stop()
})

it('goes on after a listener that throws, and says so', async () => {
  await using folder = await tempFolder()
  const [a, b] = [join(folder.path, 'a'), join(folder.path, 'b')]
  const warn = vi.fn()
  const onChange = vi.fn(() => {
    throw new Error('no')
  })
  const logger = { warn } as unknown as Logger
  for (const options of [{ ...NEVER, logger }, NEVER]) {
    const watcher = watchFiles([a, b], onChange, options)
    watcher.start()
    writeFileSync(a, '1')
    writeFileSync(b, '1')
    await watcher.poll()
    watcher.stop()
    rmSync(a)
    rmSync(b)
  }
  expect(onChange).toHaveBeenCalledTimes(4)
  expect(warn).toHaveBeenCalledTimes(2)
})

it('reports nothing once stopped, not even from a look under way', async () => {
  await using folder = await tempFolder()
  const file = join(folder.path, 'a')
  const onChange = vi.fn()
  const watcher = watchFiles([file], onChange, NEVER)
  watcher.start()
  writeFileSync(file, '1')
  const look = watcher.poll()
  watcher.stop()
  watcher.stop()
  await look
  await watcher.poll()
  expect(onChange).not.toHaveBeenCalled()
})
