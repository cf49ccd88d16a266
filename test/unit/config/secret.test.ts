import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { expect, it } from 'vitest'
import { FileSecret, InlineSecret } from '../../../src/config/secret.ts'
import { tempFolder } from '../../support/temp.ts'

function failure(secret: FileSecret): unknown {
  try {
    return secret.read()
  } catch (error) {
    return error
  }
}

it('an inline secret gives its value and never prints it', () => {
  const secret = new InlineSecret('canary\r\n')
  expect(secret.read()).toBe('canary')
  expect(secret.origin).toBe('inline')
  const printed = [`${secret}`, JSON.stringify({ secret }), inspect({ secret }, { depth: 9 })]
  expect(printed.join()).not.toContain('canary')
  expect(inspect(secret, { showHidden: true, customInspect: false })).not.toContain('canary')
})

it('a file secret is read anew each time, without the line breaks at its end', async () => {
  await using folder = await tempFolder()
  const file = join(folder.path, 'secret')
  const secret = new FileSecret(file)
  writeFileSync(file, ' canary one\n\r\n')
  expect(secret.read()).toBe(' canary one')
  writeFileSync(file, 'canary two')
  expect(secret.read()).toBe('canary two')
  const printed = [`${secret}`, JSON.stringify(secret), inspect(secret), secret.origin]
  expect(new Set(printed)).toEqual(new Set([`file ${file}`, `"file ${file}"`]))
})

it('a file that cannot serve is SECRET_UNREADABLE and may be repaired', async () => {
  await using folder = await tempFolder()
  const file = join(folder.path, 'secret')
  const secret = new FileSecret(file)
  const expectFailure = (text: string) =>
    expect(failure(secret)).toMatchObject({
      code: 'SECRET_UNREADABLE',
      retry: true,
      message: expect.stringContaining(text),
    })
  expectFailure('no such file')
  mkdirSync(file)
  expectFailure('not a file')
  rmSync(file, { recursive: true })
  writeFileSync(file, '\n')
  expectFailure('the file is empty')
  writeFileSync(file, 'x'.repeat(65_537))
  expectFailure('larger than 65536 bytes')
  writeFileSync(file, 'x'.repeat(65_536))
  expect(secret.read()).toHaveLength(65_536)
})
