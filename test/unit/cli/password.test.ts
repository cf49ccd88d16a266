import { Readable } from 'node:stream'
import { describe, expect, it, vi } from 'vitest'
import { type PasswordInput, readPassword } from '../../../src/cli/password.ts'

describe('reading a password', () => {
  it.each([
    [['secret\n'], 'secret'],
    [['secret'], 'secret'],
    [['sec', 'ret\r\nmore\n'], 'secret'],
    [[' with spaces ü \n'], ' with spaces ü '],
  ])('takes the first line of %j', async (chunks, password) => {
    const prompt = vi.fn()
    expect(await readPassword(Readable.from(chunks.map((one) => Buffer.from(one))), prompt)).toBe(
      password,
    )
    expect(prompt).not.toHaveBeenCalled()
  })

  it('takes what is typed on a terminal, which does not show it', async () => {
    const { input, raw } = keyboard(['sec', 'rex', '\u007f', 't', '\r'])
    const prompt = vi.fn()
    expect(await readPassword(input, prompt)).toBe('secret')
    expect(prompt.mock.calls).toEqual([['password: '], ['\n']])
    expect(raw).toEqual([true, false])
  })

  it('is broken off by Ctrl-C, and shows typing again', async () => {
    const { input, raw } = keyboard(['se', '\u0003'])
    await expect(readPassword(input, () => undefined)).rejects.toMatchObject({ code: 'USAGE' })
    expect(raw).toEqual([true, false])
  })

  it.each([[''], ['\n'], [`${'x'.repeat(65_536)}\n`]])(
    'refuses one that is empty or too long',
    async (text) => {
      const input = Readable.from(text === '' ? [] : [Buffer.from(text)])
      await expect(readPassword(input, () => undefined)).rejects.toMatchObject({ code: 'USAGE' })
    },
  )
})

function keyboard(keys: readonly string[]) {
  const raw: boolean[] = []
  const input: PasswordInput = Object.assign(Readable.from(keys), {
    isTTY: true,
    setRawMode: (on: boolean) => raw.push(on),
  })
  return { input, raw }
}
