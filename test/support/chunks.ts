import fc from 'fast-check'

/** Sizes of the pieces a stream is cut into, from single bytes to large reads; used again and again. */
export const chunkSizes = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.integer({ min: 1, max: 7 }) },
    { weight: 2, arbitrary: fc.integer({ min: 8, max: 300 }) },
    { weight: 1, arbitrary: fc.integer({ min: 301, max: 100_000 }) },
  ),
  { minLength: 1, maxLength: 40 },
)

/** Cuts a stream; of sizes that are too small for it the last is doubled, so that long streams do not take for ever. */
export function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = []
  let at = 0
  for (let i = 0; at < bytes.length; i++) {
    const round = Math.floor(i / sizes.length)
    const size = (sizes[i % sizes.length] as number) * 2 ** round
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}
