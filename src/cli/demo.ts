import type { Clock } from '../core/ports.ts'
import { type Crossing, CrossingPrinter } from './crossings.ts'
import { freePortFrom, type LocalServer, startLocalServer } from './local-server.ts'
import { type Paint, painter, type Terminal } from './terminal.ts'
import { findNatsServer, type ToolOptions } from './tools.ts'

/** Where the parts of the demo listen, all on 127.0.0.1. */
export interface DemoPorts {
  readonly mqtt: number
  readonly nats: number
  readonly http: number
}

const USUAL: DemoPorts = { mqtt: 1883, nats: 4222, http: 8080 }

/** The bridge of the demo, running. */
export interface DemoBridge {
  /** Resolves when messages cross. */
  ready(): Promise<void>
  stop(): Promise<void>
}

/** What the demo is given. */
export interface DemoDeps {
  readonly terminal: Terminal
  readonly clock: Clock
  /** The environment, in which nats-server is looked for. */
  readonly env: ToolOptions['env']
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal
  /** Starts the embedded broker and the bridge, and tells of every message it sees. */
  readonly startBridge: (
    ports: DemoPorts,
    onCrossing: (crossing: Crossing) => void,
  ) => Promise<DemoBridge>
}

/**
 * An MQTT broker, a nats-server and the bridge between them, until the signal; shows what crosses. Leaves
 * nothing behind but `data`, the folder of the streams, when one is given.
 */
export async function demo(data: string | undefined, deps: DemoDeps): Promise<number> {
  const { terminal, env, signal } = deps
  const say = (text: string): void => terminal.err(`${text}\n`)
  const program = await Promise.race([findNatsServer({ env, log: say }), abortion(signal)])
  if (program === undefined) return 0
  const ports = await choosePorts(say)
  await using stack = new AsyncStack()
  const server = await startLocalServer({
    program,
    port: ports.nats,
    ...(data === undefined ? {} : { data }),
  })
  stack.defer(() => server.stop())
  const paint = painter(terminal.colour)
  const printer = new CrossingPrinter((text) => terminal.out(text), paint, deps.clock)
  const bridge = await deps.startBridge(ports, (crossing) => printer.show(crossing))
  stack.defer(() => bridge.stop())
  const isReady = await Promise.race([
    bridge.ready().then(() => true),
    ended(server, signal).then(() => false),
  ])
  if (isReady) terminal.out(banner(ports, server, data, paint))
  const failure = await ended(server, signal)
  printer.flush()
  if (failure !== undefined) throw failure
  say('\nstopping')
  return 0
}

/** Resolves to the reason when the server ended by itself, to undefined at the signal. */
function ended(server: LocalServer, signal: AbortSignal): Promise<Error | undefined> {
  return Promise.race([abortion(signal), server.ended])
}

function abortion(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    else signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}

async function choosePorts(say: (text: string) => void): Promise<DemoPorts> {
  const choose = async (name: keyof DemoPorts): Promise<number> => {
    const port = await freePortFrom(USUAL[name])
    if (port !== USUAL[name]) say(`port ${USUAL[name]} is taken, ${name} uses ${port}`)
    return port
  }
  return { mqtt: await choose('mqtt'), nats: await choose('nats'), http: await choose('http') }
}

/** What runs where, and what to type in another terminal. */
export function banner(
  { mqtt, nats, http }: DemoPorts,
  server: Pick<LocalServer, 'url' | 'data'>,
  data: string | undefined,
  paint: Paint,
): string {
  const title = (text: string): string => paint('bold', text)
  const command = (text: string): string => `    ${paint('cyan', text)}\n`
  const mqttPort = mqtt === USUAL.mqtt ? '' : ` -p ${mqtt}`
  return [
    `\n${title('The bridge runs.')} Topic mqtt/a/b on MQTT is subject a.b on NATS, both ways.\n\n`,
    `  MQTT broker  mqtt://127.0.0.1:${mqtt}\n`,
    `  nats-server  ${server.url}  JetStream in ${server.data}${data === undefined ? ', removed at the end' : ''}\n`,
    `  status       http://127.0.0.1:${http}/status\n\n`,
    `${title('Try it')} in another terminal:\n\n`,
    '  MQTT to NATS\n',
    command(`mosquitto_pub${mqttPort} -q 1 -t mqtt/sensors/temp -m 21.5`),
    '  NATS to MQTT, with the nats command, or with nothing but Node\n',
    command(`nats --server ${server.url} pub sensors.temp 22.5`),
    command(
      `node -e "require('net').connect(${nats}, '127.0.0.1').end('CONNECT {}\\r\\nPUB sensors.temp 4\\r\\n22.5\\r\\n')"`,
    ),
    '  and to listen\n',
    command(`mosquitto_sub${mqttPort} -v -t 'mqtt/#'`),
    command(`nats --server ${server.url} sub '>'`),
    `\n${title('What crosses')} (Ctrl-C ends it):\n\n`,
  ].join('')
}

/** Runs what was deferred, last first, also after a failure. */
class AsyncStack implements AsyncDisposable {
  readonly #actions: (() => Promise<void>)[] = []

  defer(action: () => Promise<void>): void {
    this.#actions.push(action)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const action of this.#actions.reverse()) await action()
  }
}
