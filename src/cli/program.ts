import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { BridgeError } from '../core/errors.ts'
import { CONFIG_HELP, EXAMPLES, PROGRAM_HELP, type SettingFlag, settingsHelp } from './help.ts'
import { OUTPUTS, type Output } from './output.ts'
import type { Terminal } from './terminal.ts'

/** Where a command gets its configuration from, besides the environment. */
export interface ConfigArguments {
  readonly file?: string
  /** Settings given as flags, by path. */
  readonly flags: Readonly<Record<string, string>>
}

/** What each command does; resolves to its exit code. */
export interface Commands {
  run(config: ConfigArguments): Promise<number>
  demo(config: ConfigArguments, options: { readonly data?: string }): Promise<number>
  check(
    config: ConfigArguments,
    options: { readonly connect: boolean; readonly output: Output },
  ): Promise<number>
  explain(
    config: ConfigArguments,
    options: {
      readonly name: string
      readonly from?: 'mqtt' | 'nats'
      readonly connect: boolean
      readonly output: Output
    },
  ): Promise<number>
  tap(
    config: ConfigArguments,
    options: { readonly filter?: string; readonly url?: string; readonly output: Output },
  ): Promise<number>
  hashPassword(name: string): Promise<number>
}

/** What the command line is read with. */
export interface ProgramDeps {
  readonly terminal: Terminal
  readonly version: string
  readonly settings: readonly SettingFlag[]
  readonly commands: Commands
  /** The candidate most like a word, when one is. */
  readonly nearest: (word: string, candidates: readonly string[]) => string | undefined
  /** `MQTTNATS_CONFIG`, when it is set. */
  readonly configVariable: string | undefined
}

/**
 * Reads the command line and runs the command it names. Resolves to the exit code of the command, 0 after
 * help and version; throws `BridgeError` USAGE, its message fit to be shown.
 */
export async function runProgram(argv: readonly string[], deps: ProgramDeps): Promise<number> {
  let code = 0
  const done = (result: number): void => {
    code = result
  }
  let complaint = ''
  const program = buildProgram(deps, done).configureOutput({
    writeOut: (text) => deps.terminal.out(text),
    // an error is thrown too, and shown by whoever catches it
    writeErr: (text) => {
      complaint = text
    },
  })
  for (const command of allCommands(program)) command.copyInheritedSettings(program)
  const words = withDefaultCommand(argv, deps.configVariable)
  if (words.length === 0) {
    deps.terminal.err(program.helpInformation())
    return 2
  }
  try {
    await program.parseAsync([...words], { from: 'user' })
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown
    if (thrown.exitCode === 0) return 0
    if (thrown.code === 'commander.help') {
      deps.terminal.err(complaint)
      return 2
    }
    throw new BridgeError(cleaned(thrown.message) + guess(thrown, deps), {
      code: 'USAGE',
      cause: thrown,
    })
  }
  return code
}

/** `run` is what is meant when options come first and a configuration is among them. */
export function withDefaultCommand(
  argv: readonly string[],
  configVariable: string | undefined,
): readonly string[] {
  const [first] = argv
  if (first === undefined) return configVariable ? ['run'] : argv
  if (!first.startsWith('-') || ['-h', '--help', '-V', '--version'].includes(first)) return argv
  const hasConfig = argv.some((word) => word === '--config' || word.startsWith('--config='))
  if (hasConfig || configVariable) return ['run', ...argv]
  throw new BridgeError(`reading the command line: no command before '${first}'`, { code: 'USAGE' })
}

/** Commander's words, in the manner of our own errors. */
function cleaned(message: string): string {
  const text = message.replace(/^error: /, '').replace(/\n\(D(id .*)\)$/, '; d$1')
  return `reading the command line: ${text}`
}

/** Flags of settings are hidden from help, and commander suggests nothing hidden. */
function guess(error: CommanderError, { settings, nearest }: ProgramDeps): string {
  const [, word] = /unknown option '(--[^'=]+)/.exec(error.message) ?? []
  if (word === undefined || error.message.includes('mean')) return ''
  const found = nearest(
    word,
    settings.map(({ flag }) => flag),
  )
  return found === undefined ? '' : `; did you mean ${found}?`
}

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)]
}

function buildProgram(deps: ProgramDeps, done: (code: number) => void): Command {
  const program = new Command('mqtt-nats-bridge')
    .description('Carries messages between an MQTT broker and NATS, both ways.')
    .version(deps.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help, or that of a command')
    .helpCommand(false)
    .showSuggestionAfterError(true)
    .exitOverride()
    .addHelpText('after', PROGRAM_HELP)
  addDaemons(program, deps, done)
  addQuestions(program, deps, done)
  addHelpers(program, deps, done)
  return program
}

function addDaemons(program: Command, deps: ProgramDeps, done: (code: number) => void): void {
  const { commands } = deps
  const run = subcommand(program, 'run', 'the bridge, until SIGTERM or SIGINT')
  withConfig(run, deps).action(async (_, self: Command) => {
    done(await commands.run(configOf(self, deps)))
  })
  const demo = subcommand(
    program,
    'demo',
    'an MQTT broker, a nats-server and the bridge between them',
  )
  demo.option('--data <folder>', 'keep the streams there; a temporary folder unless given')
  withSettings(demo, deps).action(async (options: { data?: string }, self: Command) => {
    done(await commands.demo(configOf(self, deps), options))
  })
}

function addQuestions(program: Command, deps: ProgramDeps, done: (code: number) => void): void {
  const { commands } = deps
  const check = subcommand(program, 'check', 'the configuration as the bridge understands it')
  check.option('--connect', 'also dial both sides and report what each offers', false)
  withConfig(check, deps)
    .addOption(outputOption())
    .action(async (options: { connect: boolean; output: Output }, self: Command) => {
      done(await commands.check(configOf(self, deps), options))
    })

  const explain = subcommand(
    program,
    'explain',
    'where a topic or subject goes, and what comes back',
  )
  explain
    .argument('<name>', 'topic or subject', nonEmpty)
    .addOption(
      new Option('--from <side>', 'read the name as a topic (mqtt) or subject (nats)').choices([
        'mqtt',
        'nats',
      ]),
    )
    .option('--connect', 'also ask the NATS server which streams store it', false)
  withConfig(explain, deps)
    .addOption(outputOption())
    .action(
      async (
        name: string,
        options: { from?: 'mqtt' | 'nats'; connect: boolean; output: Output },
        self: Command,
      ) => {
        done(await commands.explain(configOf(self, deps), { ...options, name }))
      },
    )

  const tap = subcommand(program, 'tap', 'what a running bridge decides, live, a line per message')
  tap
    .option('--filter <filter>', 'only topics or subjects that match this MQTT filter', nonEmpty)
    .option('--url <url>', 'where the bridge serves its pages; http.listen unless given')
  withConfig(tap, deps)
    .addOption(outputOption())
    .action(async (options: { filter?: string; url?: string; output: Output }, self: Command) => {
      done(await commands.tap(configOf(self, deps), options))
    })
}

function addHelpers(program: Command, deps: ProgramDeps, done: (code: number) => void): void {
  const { commands, terminal, settings } = deps
  const user = program
    .command('user')
    .description('users of the embedded broker')
    .helpCommand(false)
  subcommand(user, 'hash', 'a line of the users file, made from a password on standard input')
    .argument('<name>', 'name of the user', nonEmpty)
    .action(async (name: string) => done(await commands.hashPassword(name)))

  subcommand(
    program,
    'help',
    'help of a command, or `help settings`: every setting as flag and variable',
  )
    .argument('[command...]', 'command, or `settings`')
    .action((names: readonly string[]) => {
      if (names[0] === 'settings') terminal.out(settingsHelp(settings))
      else helpOf(program, names).outputHelp()
    })
}

function helpOf(program: Command, names: readonly string[]): Command {
  return names.reduce((command, name) => {
    const found = command.commands.find((one) => one.name() === name)
    // lets commander say it, with its suggestion
    return found ?? command.error(`error: unknown command '${name}'`)
  }, program)
}

function subcommand(parent: Command, name: string, description: string): Command {
  const command = parent
    .command(name)
    .description(description)
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false)
  const examples = EXAMPLES[name]
  return examples === undefined ? command : command.addHelpText('after', examples)
}

function withConfig(command: Command, deps: ProgramDeps): Command {
  command.option('--config <file>', 'the configuration, YAML or JSON')
  return withSettings(command, deps).addHelpText('after', CONFIG_HELP)
}

/** Every setting is a flag; the help names them in a page of their own. */
function withSettings(command: Command, { settings }: ProgramDeps): Command {
  for (const { flag } of settings) command.addOption(new Option(`${flag} <value>`).hideHelp())
  return command
}

function configOf(command: Command, { settings }: ProgramDeps): ConfigArguments {
  const given = command.opts<Record<string, string | undefined>>()
  const flags: Record<string, string> = {}
  for (const { path, flag } of settings) {
    const value = given[new Option(`${flag} <value>`).attributeName()]
    if (value !== undefined) flags[path] = value
  }
  const { config: file } = given
  return { flags, ...(file === undefined ? {} : { file }) }
}

function outputOption(): Option {
  return new Option('--output <form>', 'form of the result').choices(OUTPUTS).default('text')
}

function nonEmpty(value: string): string {
  if (value === '') throw new InvalidArgumentError('it is empty.')
  return value
}
