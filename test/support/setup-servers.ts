import { findMosquitto, MOSQUITTO_HINT, natsServerProgram } from './tools.ts'

/** Variable through which test workers learn why they cannot run; see `skip-without-servers.ts`. */
export const MISSING = 'MQTTNATS_TEST_MISSING'

const say = (line: string) => void process.stderr.write(`test servers: ${line}\n`)
let told = false

/** Finds or fetches the servers once, before any worker starts, and says which are used. */
export async function setup(): Promise<void> {
  const missing: string[] = []
  const nats = await natsServerProgram(say).catch((error: unknown) => {
    missing.push(error instanceof Error ? error.message : String(error))
    return undefined
  })
  const mosquitto = await findMosquitto(say)
  if (mosquitto === undefined) missing.push(`no mosquitto: ${MOSQUITTO_HINT}`)
  if (missing.length > 0) {
    const why = missing.join('; ')
    if (process.env['CI']) throw new Error(`finding the test servers: ${why}`)
    say(`SKIPPING the tests that need them: ${why}`)
    process.env[MISSING] = why
  } else if (!told) {
    told = true
    say(`${nats}, ${mosquitto}`)
  }
}
