import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Child, startChild } from './child.ts'
import { eventually } from './eventually.ts'
import type { OperatorFixture } from './operator.ts'
import { freePort } from './ports.ts'
import { tempFolder } from './temp.ts'
import { natsServerProgram } from './tools.ts'

/** Certificate of a listener; with `caFile` and `verify` it asks clients for theirs. */
export interface ServerTls {
  readonly certFile: string
  readonly keyFile: string
  readonly caFile?: string
  readonly verify?: boolean
}

/** What kind of nats-server to start. */
export interface NatsServerOptions {
  /** More configuration text, put at the end of the file. */
  readonly config?: string
  readonly jetstream?: boolean
  /** Folder of the streams; a temporary one unless given. */
  readonly storeDir?: string
  readonly port?: number
  readonly name?: string
  readonly operator?: OperatorFixture
  /** TLS on the NATS port, and on the MQTT port when there is one. */
  readonly tls?: ServerTls
  /** TLS before INFO on the NATS port. */
  readonly handshakeFirst?: boolean
  /** The server's own MQTT listener; turns JetStream on. */
  readonly mqtt?: boolean
  /** Debug and protocol lines in `log()`. */
  readonly debug?: boolean
}

/** A nats-server of its own on free ports of 127.0.0.1. */
export interface NatsServer extends AsyncDisposable {
  /** `nats://` or, with TLS, `tls://`; host `localhost` so that certificates fit. */
  readonly url: string
  readonly port: number
  readonly monitorPort: number
  /** 0 when there is no MQTT listener. */
  readonly mqttPort: number
  readonly storeDir: string
  readonly configFile: string
  /** Of the process running now; changes with `restart()`. */
  pid(): number
  /** SIGTERM and wait. */
  stop(): Promise<void>
  /** SIGKILL and wait. */
  kill(): Promise<void>
  /** Starts again (stopping first if need be) with the same ports, streams and configuration file. */
  restart(): Promise<void>
  signal(signal: NodeJS.Signals): void
  /** A page of the monitoring port: `varz`, `connz`, `jsz?streams=true`. */
  monitor(page: string): Promise<Record<string, unknown>>
  varz(): Promise<Record<string, unknown>>
  /** Everything logged so far, over restarts. */
  log(): string
}

/** Starts a nats-server; resolves when it accepts connections on every listener and JetStream is up. */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const program = await natsServerProgram()
  const folder = await tempFolder()
  const jetstream = options.jetstream === true || options.mqtt === true
  const port = options.port ?? (await freePort())
  const monitorPort = await freePort()
  const mqttPort = options.mqtt === true ? await freePort() : 0
  const storeDir = options.storeDir ?? join(folder.path, 'streams')
  const configFile = join(folder.path, 'nats.conf')
  await mkdir(storeDir, { recursive: true })
  const places = { port, monitorPort, mqttPort, folder: folder.path, storeDir, jetstream }
  await writeFile(configFile, configText(options, places))

  const logs: string[] = []
  let child: Child | undefined

  async function start(): Promise<void> {
    const started = await startChild(program, ['-c', configFile, ...(options.debug ? ['-DV'] : [])])
    child = started
    await eventually(
      `nats-server on port ${port}`,
      () => {
        if (started.ending() !== undefined) throw new Error(started.stderr().slice(-1500))
        return healthy(monitorPort)
      },
      { deadline: 20_000 },
    ).catch(async (error: unknown) => {
      await started.kill()
      throw error
    })
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child === undefined) return
    const ended = child
    child = undefined
    await ended.stop(signal)
    logs.push(ended.stderr())
  }

  async function monitor(page: string): Promise<Record<string, unknown>> {
    const answer = await fetch(`http://127.0.0.1:${monitorPort}/${page}`)
    return (await answer.json()) as Record<string, unknown>
  }

  await start()
  return {
    url: `${options.tls ? 'tls' : 'nats'}://localhost:${port}`,
    port,
    monitorPort,
    mqttPort,
    storeDir,
    configFile,
    pid: () => child?.pid ?? 0,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    async restart() {
      await end('SIGTERM')
      await start()
    },
    signal: (signal) => child?.signal(signal),
    monitor,
    varz: () => monitor('varz'),
    log: () => logs.join('') + (child?.stderr() ?? ''),
    async [Symbol.asyncDispose]() {
      await end('SIGKILL')
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** 200 only when every listener is open and the streams are recovered. */
async function healthy(monitorPort: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${monitorPort}/healthz`)
  await answer.body?.cancel()
  return answer.ok
}

interface Places {
  readonly port: number
  readonly monitorPort: number
  readonly mqttPort: number
  readonly folder: string
  readonly storeDir: string
  readonly jetstream: boolean
}

function configText(options: NatsServerOptions, at: Places): string {
  const { tls, operator } = options
  const lines = [
    `server_name: "${options.name ?? `test-${at.port}`}"`,
    `listen: "127.0.0.1:${at.port}"`,
    `http: "127.0.0.1:${at.monitorPort}"`,
  ]
  if (at.jetstream) lines.push(`jetstream { store_dir: "${at.storeDir}" }`)
  if (tls)
    lines.push(`tls { ${tlsText(tls)}, handshake_first: ${options.handshakeFirst === true} }`)
  if (at.mqttPort > 0) {
    const secure = tls ? `, tls { ${tlsText(tls)} }` : ''
    lines.push(`mqtt { listen: "127.0.0.1:${at.mqttPort}"${secure} }`)
  }
  if (operator) lines.push(operator.serverConfig(join(at.folder, 'accounts')))
  if (options.config) lines.push(options.config)
  return `${lines.join('\n')}\n`
}

function tlsText(tls: ServerTls): string {
  const parts = [`cert_file: "${tls.certFile}"`, `key_file: "${tls.keyFile}"`, 'timeout: 5']
  if (tls.caFile) parts.push(`ca_file: "${tls.caFile}"`)
  if (tls.verify) parts.push('verify: true')
  return parts.join(', ')
}
