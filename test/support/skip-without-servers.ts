import { beforeEach } from 'vitest'
import { MISSING } from './setup-servers.ts'

const missing = process.env[MISSING]

beforeEach((context) => {
  if (missing !== undefined) context.skip(missing)
})
