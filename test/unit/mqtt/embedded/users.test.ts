import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  hashPassword,
  parseUsers,
  Users,
  verifyPassword,
} from '../../../../src/mqtt/embedded/users.ts'
import { tempFolder } from '../../../support/temp.ts'
import { handClock, silentLogger } from './stand-ins.ts'

describe('users file', () => {
  test('a hashed password is read back and accepts that password only', async () => {
    const line = await hashPassword('ann', 'päss:word')
    expect(line).toMatch(/^ann:\$scrypt\$N=16384,r=8,p=1\$/)
    const user = parseUsers(line, 'users').get('ann')
    expect(user).toBeDefined()
    expect(await verifyPassword(Buffer.from('päss:word'), user!)).toBe(true)
    expect(await verifyPassword(Buffer.from('päss:wors'), user!)).toBe(false)
  })

  test('the same password hashes differently each time', async () => {
    expect(await hashPassword('a', 'x')).not.toBe(await hashPassword('a', 'x'))
  })

  test('comments, empty lines and CR are skipped', async () => {
    const text = `# users\r\n\n  # more\n${await hashPassword('a', 'x')}\r\n`
    expect([...parseUsers(text, 'users').keys()]).toEqual(['a'])
  })

  const hash = '$scrypt$N=16384,r=8,p=1$c2FsdA==$MDEyMzQ1Njc4OWFiY2RlZg=='
  test.each([
    ['no colon', 'ann', /line 1: no colon/],
    ['an empty name', `:${hash}`, /line 1: a name is empty/],
    ['a plain password', '\n# x\nann:secret', /line 3: the hash is not of the form/],
    ['the same name again', `ann:${hash}\nann:${hash}`, /line 2: user 'ann' again/],
    ['a cost that is no power of two', `ann:${hash.replace('16384', '1000')}`, /power of two/],
    ['a cost beyond memory', `ann:${hash.replace('16384', '8388608')}`, /too much memory/],
    ['a short hash', 'ann:$scrypt$N=2,r=1,p=1$c2FsdA==$MDEy', /16 to 64 bytes/],
    ['p out of range', `ann:${hash.replace('p=1', 'p=0')}`, /out of range/],
  ])('%s is refused with its line', (_, text, expected) => {
    let thrown: unknown
    try {
      parseUsers(text, 'users')
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({ code: 'USERS_FILE_INVALID' })
    expect(String(thrown)).toMatch(expected)
  })

  test('any text either parses or is refused with the code', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string(), fc.constant(`n:${hash}`))), (lines) => {
        try {
          for (const name of parseUsers(lines.join('\n'), 'f').keys()) expect(name).not.toBe('')
        } catch (error) {
          expect(error).toMatchObject({ code: 'USERS_FILE_INVALID' })
        }
      }),
    )
  })

  test.each(['', 'a:b', ' a', '#a', 'a\nb'])('the name %j cannot be hashed', async (name) => {
    await expect(hashPassword(name, 'x')).rejects.toMatchObject({ code: 'USAGE' })
  })

  test('a changed file counts from the next look, a bad one changes nothing', async () => {
    await using folder = await tempFolder()
    const file = join(folder.path, 'users')
    const clock = handClock()
    const logger = silentLogger()
    writeFileSync(file, `${await hashPassword('ann', 'one')}\n`)
    const users = new Users(file, logger, clock)
    users.load()
    expect(await users.login('ann', Buffer.from('one'))).toBe('accepted')
    expect(await users.login('bob', Buffer.from('one'))).toBe('refused')

    writeFileSync(file, `${await hashPassword('ann', 'two-longer-line')}\n#\n`)
    expect(await users.login('ann', Buffer.from('one'))).toBe('accepted')
    clock.advance(1_000)
    expect(await users.login('ann', Buffer.from('one'))).toBe('refused')
    expect(await users.login('ann', Buffer.from('two-longer-line'))).toBe('accepted')

    writeFileSync(file, 'nonsense')
    clock.advance(1_000)
    expect(await users.login('ann', Buffer.from('two-longer-line'))).toBe('accepted')
    expect(logger.failures.map(({ code }) => code)).toEqual(['USERS_FILE_INVALID'])
  })

  test('a missing file fails the start', () => {
    const users = new Users('/nowhere/users', silentLogger(), handClock())
    expect(() => users.load()).toThrow(/reading users file '\/nowhere\/users'/)
  })

  test('more than a few hundred logins at one time are told to come back', async () => {
    await using folder = await tempFolder()
    const file = join(folder.path, 'users')
    writeFileSync(file, 'ann:$scrypt$N=2,r=1,p=1$c2FsdA==$MDEyMzQ1Njc4OWFiY2RlZg==\n')
    const users = new Users(file, silentLogger(), handClock())
    users.load()
    const results = await Promise.all(
      Array.from({ length: 300 }, () => users.login('ann', Buffer.from('x'))),
    )
    expect(results.filter((result) => result === 'busy')).toHaveLength(300 - 258)
    expect(await users.login('ann', Buffer.from('x'))).toBe('refused')
  })
})
