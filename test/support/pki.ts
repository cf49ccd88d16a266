import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram } from './child.ts'
import { tempFolder } from './temp.ts'

/** Files of one certificate and its key, PEM. */
export interface Certificate {
  readonly certFile: string
  readonly keyFile: string
  readonly cert: string
  readonly key: string
}

/** What a certificate is made for. */
export interface CertificateOptions {
  /** DNS names and IP addresses; `localhost` and 127.0.0.1 unless given. */
  readonly names?: readonly string[]
  /** Days it holds from now, 30 unless given; negative: it ended that long ago. */
  readonly days?: number
}

/** A certificate authority with P-521 keys, and one certificate for servers and one for clients. */
export interface Pki {
  readonly caFile: string
  readonly ca: string
  /** For `localhost` and 127.0.0.1. */
  readonly server: Certificate
  readonly client: Certificate
  /** Issues another one, in files of that name. */
  issue(name: string, options?: CertificateOptions): Promise<Certificate>
}

let shared: Promise<Pki> | undefined

/** The certificate authority of this process, made at the first call. */
export function sharedPki(): Promise<Pki> {
  shared ??= makePki()
  return shared
}

/** Makes a certificate authority of its own: one that {@link sharedPki}'s certificates are strangers to. */
export async function makePki(): Promise<Pki> {
  const { path: folder } = await tempFolder()
  const caFile = join(folder, 'ca.pem')
  const caKey = join(folder, 'ca.key')
  await newKey(caKey)
  await openssl(
    ['req', '-new', '-x509', '-key', caKey, '-out', caFile, '-days', '30', '-sha512'],
    ['-subj', '/O=Test/CN=Test CA', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
  )

  async function issue(name: string, options: CertificateOptions = {}): Promise<Certificate> {
    const [certFile, keyFile] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)]
    const [request, extensions] = [join(folder, `${name}.csr`), join(folder, `${name}.ext`)]
    await newKey(keyFile)
    await openssl(['req', '-new', '-key', keyFile, '-out', request, '-subj', `/O=Test/CN=${name}`])
    await writeFile(extensions, extensionsFor(options.names ?? ['localhost', '127.0.0.1']))
    await openssl(
      ['x509', '-req', '-in', request, '-CA', caFile, '-CAkey', caKey, '-CAcreateserial'],
      ['-sha512', '-days', String(options.days ?? 30), '-extfile', extensions, '-out', certFile],
    )
    const read = (file: string) => readFileSync(file, 'utf8')
    return { certFile, keyFile, cert: read(certFile), key: read(keyFile) }
  }

  const server = await issue('server')
  const client = await issue('client')
  return { caFile, ca: readFileSync(caFile, 'utf8'), server, client, issue }
}

function newKey(file: string): Promise<void> {
  return openssl(['ecparam', '-name', 'secp521r1', '-genkey', '-noout', '-out', file])
}

function extensionsFor(names: readonly string[]): string {
  const listed = names.map((n) => (/^[\d.]+$|:/.test(n) ? `IP:${n}` : `DNS:${n}`)).join(',')
  return [
    'basicConstraints=CA:FALSE',
    'keyUsage=digitalSignature',
    'extendedKeyUsage=serverAuth,clientAuth',
    `subjectAltName=${listed}`,
    '',
  ].join('\n')
}

async function openssl(...args: readonly (readonly string[])[]): Promise<void> {
  await runProgram('openssl', args.flat())
}
