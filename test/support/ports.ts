import { createServer } from 'node:net'

// Below the range the kernel takes outgoing ports from (32768 and up on Linux), so that no
// connection of another test sits on a port between finding it and listening on it, nor while
// the server that owns it restarts.
const LOWEST = 15_000
const HIGHEST = 32_000

const given = new Set<number>()

/** A TCP port of 127.0.0.1 that nobody listens on; never the same twice in one process. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST))
    if (given.has(port) || !(await isFree(port))) continue
    given.add(port)
    return port
  }
  throw new Error('finding a free port: none in 200 attempts')
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => resolve(true))
    })
  })
}
