import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { BridgeError } from '../../../src/core/errors.ts'
import { connectionOptions, readTls } from '../../../src/nats/options.ts'
import { parseServer } from '../../../src/nats/servers.ts'
import { natsConfig } from '../../support/nats-session-stage.ts'
import { sharedPki } from '../../support/pki.ts'
import { tempFolder } from '../../support/temp.ts'

const plain = { handshakeFirst: false }

function failure(read: () => unknown): string {
  try {
    read()
    return 'none'
  } catch (error) {
    return error instanceof BridgeError ? `${error.code} ${error.message}` : 'another error'
  }
}

describe('the options of one attempt', () => {
  it('leave reconnecting to the session and never hear our own messages', () => {
    const config = natsConfig(['a'], { name: 'n', connectTimeout: 7 })
    const options = connectionOptions(config, parseServer('a.:1'), { method: 'none' }, undefined)
    expect(options).toMatchObject({
      servers: ['a:1'],
      name: 'n',
      timeout: 7,
      noEcho: true,
      reconnect: false,
      ignoreAuthErrorAbort: true,
      resolve: false,
    })
    expect(options.tls).toBeUndefined()
  })

  it('name the host to TLS without its dot, an IP address never as a name', () => {
    const tls = (server: string, serverName?: string) => {
      const section = { ...plain, ...(serverName !== undefined && { serverName }) }
      const config = natsConfig([server], { tls: section })
      const address = parseServer(server)
      return connectionOptions(config, address, { method: 'none' }, readTls(section)).tls
    }
    expect(tls('a.b.')).toMatchObject({ servername: 'a.b', host: 'a.b', handshakeFirst: false })
    expect(tls('10.0.0.1')).toMatchObject({ servername: '', host: '10.0.0.1' })
    expect(tls('10.0.0.1', 'c.')).toMatchObject({ servername: 'c', host: 'c' })
  })
})

describe('the TLS files', () => {
  it('are read anew and change the fingerprint', async () => {
    const pki = await sharedPki()
    await using folder = await tempFolder()
    const caFile = join(folder.path, 'ca.pem')
    await writeFile(caFile, pki.ca)
    const first = readTls({ ...plain, caFile }).fingerprint
    expect(readTls({ ...plain, caFile }).fingerprint).toBe(first)
    await writeFile(caFile, `${pki.ca}\n${pki.server.cert}`)
    expect(readTls({ ...plain, caFile }).fingerprint).not.toBe(first)
    expect(readTls(plain).fingerprint).not.toBe(first)
  })

  it('are refused when they are missing, make no sense or do not belong together', async () => {
    const { server, client } = await sharedPki()
    await using folder = await tempFolder()
    const caFile = join(folder.path, 'ca.pem')
    expect(failure(() => readTls({ ...plain, caFile }))).toMatch(
      /^TLS_FILE_UNREADABLE reading '.*ca\.pem'.*ENOENT/,
    )
    await writeFile(caFile, 'hello')
    expect(failure(() => readTls({ ...plain, caFile }))).toMatch(
      /^TLS_FILE_UNREADABLE .*no certificate/,
    )
    await writeFile(caFile, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----')
    expect(failure(() => readTls({ ...plain, caFile }))).toMatch(/^TLS_FILE_UNREADABLE /)
    const mixed = { ...plain, certFile: server.certFile, keyFile: client.keyFile }
    expect(failure(() => readTls(mixed))).toMatch(/^TLS_FILE_UNREADABLE .*mismatch/)
  })
})
