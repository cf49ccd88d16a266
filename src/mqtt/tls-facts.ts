import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { ChannelFacts } from './channel.ts'

/** Reads what TLS settled on from an open socket; a plain socket has nothing to tell. */
export function channelFacts(server: string, socket: Socket | undefined): ChannelFacts {
  if (!(socket instanceof TLSSocket)) return { server, tlsVersion: '', certNotAfter: 0 }
  const end = Date.parse(socket.getPeerCertificate().valid_to ?? '')
  return {
    server,
    tlsVersion: socket.getProtocol() ?? '',
    certNotAfter: Number.isNaN(end) ? 0 : Math.floor(end / 1000),
  }
}
