import { createHash } from 'node:crypto'

/** Beginning of a durable consumer's name; characters NATS forbids in names are replaced, and a digest tells such names apart. */
export function consumerName(bridge: string, route: string): string {
  const plain = `${bridge}_${route}`
  const name = plain.replace(/[^A-Za-z0-9_-]/g, '-')
  // with one underscore only it is clear where the route begins
  if (name === plain && !bridge.includes('_') && name.length <= 100) return `MQTTNATS_${name}`
  const digest = createHash('sha256')
    .update(JSON.stringify([bridge, route]))
    .digest('hex')
    .slice(0, 8)
  return `MQTTNATS_${name.slice(0, 100)}_${digest}`
}

/** The number behind the beginning of a consumer's name; -1 when it is another's. */
export function generationOf(name: string, base: string): number {
  if (!name.startsWith(`${base}_`)) return -1
  const number = name.slice(base.length + 1)
  return /^\d{1,9}$/.test(number) ? Number(number) : -1
}
