import { describe, expect, it, vi } from 'vitest'
import { type Commands, runProgram, withDefaultCommand } from '../../../src/cli/program.ts'
import { settingFlags } from '../../../src/commands.ts'
import { nearest } from '../../../src/config/nearest.ts'
import { SETTING_PATHS } from '../../../src/config/schema.ts'

describe('the command line', () => {
  it('runs the bridge with the file and every setting given as a flag', async () => {
    const { commands, line } = stage()
    await line('run', '--config', 'b.yaml', '--log-level', 'debug', '--mqtt-tls-ca-file=/ca.crt')
    expect(commands.run).toHaveBeenCalledExactlyOnceWith({
      file: 'b.yaml',
      flags: { 'log.level': 'debug', 'mqtt.tls.caFile': '/ca.crt' },
    })
  })

  it.each(SETTING_PATHS)('takes %s as a flag', async (path) => {
    const { commands, line } = stage()
    const { flag = '' } = settingFlags().find((one) => one.path === path) ?? {}
    await line('check', flag, 'a value')
    expect(commands.check).toHaveBeenCalledWith({ flags: { [path]: 'a value' } }, expect.anything())
  })

  it('hands over what explain is asked', async () => {
    const { commands, line } = stage()
    await line('explain', 'a.b', '--from', 'nats', '--connect', '--output', 'json')
    expect(commands.explain).toHaveBeenCalledExactlyOnceWith(
      { flags: {} },
      { name: 'a.b', from: 'nats', connect: true, output: 'json' },
    )
  })

  it('hands over what tap, demo and user hash are asked', async () => {
    const { commands, line } = stage()
    await line('tap', '--filter', 'a/#', '--url', 'http://h:1', '--output', 'yaml')
    expect(commands.tap).toHaveBeenCalledExactlyOnceWith(
      { flags: {} },
      { filter: 'a/#', url: 'http://h:1', output: 'yaml' },
    )
    await line('demo', '--data', 'folder')
    expect(commands.demo).toHaveBeenCalledExactlyOnceWith({ flags: {} }, { data: 'folder' })
    await line('user', 'hash', 'bob')
    expect(commands.hashPassword).toHaveBeenCalledExactlyOnceWith('bob')
  })

  it('resolves to the exit code of the command', async () => {
    const { commands, line } = stage()
    vi.mocked(commands.check).mockResolvedValue(1)
    expect(await line('check')).toBe(1)
  })

  it.each([
    [['chek'], "unknown command 'chek'; did you mean check?"],
    [['user', 'hsh'], "unknown command 'hsh'; did you mean hash?"],
    [['help', 'nothing'], "unknown command 'nothing'"],
    [['run', '--log-levl', 'debug'], "unknown option '--log-levl'; did you mean --log-level?"],
    [['check', '--conect'], "unknown option '--conect'; did you mean --connect?"],
    [['run', '--zzzzzzzzzzzzzzzzzzzzzzz'], "unknown option '--zzzzzzzzzzzzzzzzzzzzzzz'"],
    [['run', 'extra'], "too many arguments for 'run'. Expected 0 arguments but got 1."],
    [['explain'], "missing required argument 'name'"],
    [['explain', ''], "'' is invalid for argument 'name'"],
    [['--log-level', 'debug'], "no command before '--log-level'"],
    [['account', 'list'], "unknown command 'account'"],
  ])('refuses %j and says what would be right', async (argv, text) => {
    const failure = await stage()
      .line(...argv)
      .catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'USAGE' })
    expect(String(failure)).toContain('reading the command line: ')
    expect(String(failure)).toContain(text)
  })

  it('prints help as a result, and as a complaint when nothing was asked', async () => {
    const asked = stage()
    expect(await asked.line('--help')).toBe(0)
    expect(asked.written.out).toContain('Exit codes:')
    for (const name of ['run', 'demo', 'check', 'explain', 'tap', 'user']) {
      expect(asked.written.out).toMatch(new RegExp(`^  ${name} `, 'm'))
    }
    const silent = stage()
    expect(await silent.line()).toBe(2)
    expect(silent.written).toMatchObject({ out: '', err: expect.stringContaining('Usage:') })
    const half = stage()
    expect(await half.line('user')).toBe(2)
    expect(half.written).toMatchObject({ out: '', err: expect.stringContaining('hash <name>') })
  })

  it.each(['run', 'demo', 'check', 'explain', 'tap'])('has help for %s', async (name) => {
    const asked = stage()
    expect(await asked.line(name, '--help')).toBe(0)
    const inFull = stage()
    await inFull.line('help', name)
    expect(asked.written.out).toBe(inFull.written.out)
    expect(asked.written.out).toContain(`Usage: mqtt-nats-bridge ${name}`)
  })

  it('lists every setting with its variable', async () => {
    const { line, written } = stage()
    await line('help', 'settings')
    for (const { flag, variable } of settingFlags()) {
      expect(written.out).toContain(`\n${flag}\n${variable}\n`)
    }
  })

  it('prints the version', async () => {
    const { line, written } = stage()
    expect(await line('--version')).toBe(0)
    expect(written.out).toBe('1.2.3\n')
  })
})

describe('the default command', () => {
  it('is run when a configuration is given and no command', () => {
    expect(withDefaultCommand(['--config', 'f'], undefined)).toEqual(['run', '--config', 'f'])
    expect(withDefaultCommand(['--config=f'], undefined)).toEqual(['run', '--config=f'])
    expect(withDefaultCommand([], 'f')).toEqual(['run'])
    expect(withDefaultCommand(['--log-level', 'debug'], 'f')).toEqual([
      'run',
      '--log-level',
      'debug',
    ])
  })

  it('does not come before a command, help or version', () => {
    for (const argv of [['check', '--config', 'f'], ['--help'], ['-h'], ['--version'], ['-V']]) {
      expect(withDefaultCommand(argv, 'f')).toEqual(argv)
    }
    expect(withDefaultCommand([], undefined)).toEqual([])
  })
})

function stage() {
  const done = () => Promise.resolve(0)
  const commands: Commands = {
    run: vi.fn(done),
    demo: vi.fn(done),
    check: vi.fn(done),
    explain: vi.fn(done),
    tap: vi.fn(done),
    hashPassword: vi.fn(done),
  }
  const written = { out: '', err: '' }
  const line = (...argv: string[]) =>
    runProgram(argv, {
      terminal: {
        out: (text) => {
          written.out += text
        },
        err: (text) => {
          written.err += text
        },
        colour: false,
      },
      version: '1.2.3',
      settings: settingFlags(),
      commands,
      nearest,
      configVariable: undefined,
    })
  return { commands, line, written }
}
