import { get, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import type { Decision } from '../core/decision.ts'
import { BridgeError } from '../core/errors.ts'
import { socketError } from '../core/socket-errors.ts'
import { type Output, toYaml } from './output.ts'
import { type Paint, painter, type Terminal, visible } from './terminal.ts'

/** Which bridge to watch, and what of it. */
export interface TapOptions {
  /** Base of the pages: `http://127.0.0.1:8080`. */
  readonly url: string
  readonly filter?: string
  readonly output: Output
}

type Line = (Decision & { readonly time: string }) | { readonly skipped: number }

/**
 * Prints the decisions of a running bridge as they are made, until the signal. Resolves to the exit code:
 * 0 after the signal, 1 when the bridge ended.
 */
export async function tap(
  options: TapOptions,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const { url, filter, output } = options
  const page = new URL('/tap', url)
  if (filter !== undefined) page.searchParams.set('filter', filter)
  const response = await open(page, signal)
  if (response === undefined) return 0
  if (response.statusCode !== 200) throw await refusal(page, response)
  terminal.err(`watching ${page.host}; Ctrl-C ends it\n`)
  const paint = painter(terminal.colour)
  try {
    for await (const text of createInterface({ input: response })) {
      if (text === '') continue
      terminal.out(output === 'json' ? `${text}\n` : show(JSON.parse(text) as Line, output, paint))
    }
  } catch (cause) {
    if (!signal.aborted) throw lost(page, cause)
  }
  if (signal.aborted) return 0
  terminal.err('the bridge ended\n')
  return 1
}

/** One decision for people. */
export function show(line: Line, output: Output, paint: Paint): string {
  if (output === 'yaml') return `---\n${toYaml(line)}`
  if ('skipped' in line) return `${paint('yellow', `… ${line.skipped} more, not shown`)}\n`
  const { time, direction, route, name, address, qos, retain, bytes, outcome } = line
  const [near, far] = direction === 'mqttToNats' ? ['MQTT', 'NATS'] : ['NATS', 'MQTT']
  const isCarried = outcome === 'forwarded' || outcome === 'inFlight'
  const way = address === '' ? '' : ` → ${far} ${visible(address)}`
  const facts = [
    `route ${route}`,
    ...(qos < 0 ? [] : [`qos ${qos}`]),
    ...(retain ? ['retained'] : []),
    `${bytes} B`,
  ]
  const what = isCarried ? outcome : `✗ ${outcome}`
  return `${paint('dim', time.slice(11, 23))} ${near} ${visible(name)}${way}  ${paint('dim', facts.join(', '))}  ${paint(isCarried ? 'green' : 'red', what)}\n`
}

function open(page: URL, signal: AbortSignal): Promise<IncomingMessage | undefined> {
  return new Promise((resolve, reject) => {
    const request = get(page, { signal }, resolve)
    request.on('error', (cause) => {
      if (signal.aborted) resolve(undefined)
      else reject(lost(page, cause))
    })
  })
}

function lost(page: URL, cause: unknown): BridgeError {
  const action = `watching the bridge at '${page.host}'`
  const known = socketError(cause, action)
  return known ?? new BridgeError(`${action}: the connection broke`, { code: 'LINK_LOST', cause })
}

async function refusal(page: URL, response: IncomingMessage): Promise<BridgeError> {
  let text = ''
  for await (const chunk of response) {
    text += String(chunk)
    if (text.length > 500) break
  }
  const said = visible(text.split('\n', 1)[0] ?? '')
  // a filter that is refused was written by whoever typed the command
  const code = response.statusCode === 400 ? 'USAGE' : 'PROTOCOL_ERROR'
  const message = `watching the bridge at '${page.host}': HTTP ${response.statusCode} ${said}`
  return new BridgeError(message, { code })
}
