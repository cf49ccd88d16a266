import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BridgeError } from '../../../src/core/errors.ts'
import { createLogger, type LoggerOptions } from '../../../src/ops/logger.ts'

function logTo(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = []
  const logger = createLogger({
    level: 'info',
    format: 'json',
    isTTY: false,
    room: 'bridge',
    stream: { write: (line) => lines.push(line) },
    ...options,
  })
  const last = (): Record<string, unknown> => JSON.parse(lines.at(-1) ?? 'null')
  return { logger, lines, last }
}

/** A line with its time replaced, since that is the only part that varies. */
function timeless(line: string | undefined): string | undefined {
  return line?.replace(/"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/, '"time":"T"')
}

describe('a JSON log line', () => {
  it('has level, time, room, fields and message, and one line break', () => {
    const { logger, lines } = logTo()
    logger.child('mqtt').info({ server: 'broker:1883', tries: 2 }, 'connected')
    expect(timeless(lines[0])).toBe(
      '{"level":"info","time":"T","room":"mqtt","server":"broker:1883","tries":2,"msg":"connected"}\n',
    )
  })

  it('carries the code, hint and chain of causes of a failure, without stacks', () => {
    const { logger, lines } = logTo()
    const cause = new Error('read ECONNRESET', { cause: new Error('cable') })
    const error = new BridgeError("dialling 'nats:4222'", { code: 'LINK_LOST', cause })
    logger.failure(error, 'connection lost')
    expect(timeless(lines[0])).toBe(
      '{"level":"warn","time":"T","room":"bridge","code":"LINK_LOST","error":"dialling \'nats:4222\'",' +
        '"hint":"the connection broke; the bridge reconnects by itself",' +
        '"causes":["read ECONNRESET","cable"],"msg":"connection lost"}\n',
    )
  })

  it('shows a failure at level error when told to, without causes when there are none', () => {
    const { logger, last } = logTo()
    logger.failure(new BridgeError('x', { code: 'INTERNAL' }), 'failed', 'error')
    expect(last()).toMatchObject({ level: 'error', code: 'INTERNAL', room: 'bridge' })
    expect(last()).not.toHaveProperty('causes')
  })

  it('shows the errors within an aggregate, leaves out repeats, and ends on a circle', () => {
    const { logger, last } = logTo()
    const inner = new Error('connect ECONNREFUSED ::1:4222')
    const cause = new AggregateError([inner, 'plain'], 'dialling')
    inner.cause = cause
    logger.failure(new BridgeError('dialling', { code: 'CONNECT_REFUSED', cause }), 'failed')
    expect(last()['causes']).toEqual(['connect ECONNREFUSED ::1:4222', 'plain'])
  })

  it('keeps its own names when a field uses one', () => {
    const { logger, last } = logTo()
    logger.info({ level: 1, time: 2, room: 3, msg: 4 }, 'hello')
    expect(last()).toMatchObject({
      level: 'info',
      room: 'bridge',
      msg: 'hello',
      level_: 1,
      msg_: 4,
    })
  })
})

describe('levels', () => {
  it('hold back what is below, and count only what is written', () => {
    const { logger, lines } = logTo({ level: 'warn' })
    logger.debug({}, 'a')
    logger.info({}, 'b')
    logger.warn({}, 'c')
    logger.child('nats').error({}, 'd')
    expect(lines).toHaveLength(2)
    expect(logger.counts).toEqual({ debug: 0, info: 0, warn: 1, error: 1 })
  })

  it('can be changed for all rooms while running', () => {
    const { logger, lines } = logTo({ level: 'silent' })
    const room = logger.child('nats')
    room.error({}, 'unheard')
    logger.setLevel('debug')
    room.debug({}, 'heard')
    logger.debug({}, 'heard')
    logger.child('mqtt').debug({}, 'heard')
    expect(lines).toHaveLength(3)
  })
})

describe('redaction', () => {
  it('masks every field named like a secret, at any depth, but not paths to one', () => {
    const { logger, last } = logTo()
    logger.info(
      {
        password: 'p',
        Token: 't',
        natsSeed: 's',
        auth: { jwt: 'j', list: [{ creds: 'c' }], clientSecret: 'x' },
        passwordFile: '/run/secrets/password',
      },
      'configuration',
    )
    expect(last()).toMatchObject({
      password: '[redacted]',
      Token: '[redacted]',
      natsSeed: '[redacted]',
      auth: { jwt: '[redacted]', list: [{ creds: '[redacted]' }], clientSecret: '[redacted]' },
      passwordFile: '/run/secrets/password',
    })
  })

  it('masks credentials within text: user info of URLs, JWTs, seeds', () => {
    const { logger, lines } = logTo()
    const seed = `SU${'A'.repeat(56)}`
    const cause = new Error(`bad seed ${seed}`)
    const message = 'dialling mqtt://bridge:hunter2@broker:1883 with eyJ0eXAi.eyJqdGki.c2lnbmF0dXJl'
    logger.failure(new BridgeError(message, { code: 'MQTT_AUTH', cause }), 'refused')
    expect(lines[0]).toContain('dialling mqtt://[redacted]@broker:1883 with [redacted]')
    expect(lines[0]).toContain('bad seed [redacted]')
  })

  it('shows errors by their message and bytes by their number, and cuts what is nested without end', () => {
    const { logger, last } = logTo()
    const loop: Record<string, unknown> = {}
    loop['loop'] = loop
    const when = new Date(0)
    const data = Buffer.from('abc')
    logger.info({ why: new Error('gone'), loop, none: null, when, data }, 'odd')
    const shown = { why: 'gone', none: null, when: '1970-01-01T00:00:00.000Z', data: '[3 bytes]' }
    expect(last()).toMatchObject(shown)
    expect(JSON.stringify(last())).toContain('[deep]')
  })

  it('never lets a secret through, whatever the shape around it', () => {
    const { logger, lines } = logTo()
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', 'list', 'auth'), { maxLength: 4 }),
        fc.constantFrom('password', 'token', 'seed', 'jwt', 'creds', 'secret', 'natsToken'),
        (path, name) => {
          let fields: object = { [name]: 'HUNTER2' }
          for (const key of path) fields = { [key]: key === 'list' ? [fields] : fields }
          logger.info(fields, 'x')
          expect(lines.at(-1)).not.toContain('HUNTER2')
        },
      ),
    )
  })
})

describe('the readable format', () => {
  /** Hides the local time of day. */
  const shown = (line: string | undefined) => line?.replace(/\d\d:\d\d:\d\d\.\d{3}/, 'HH:MM:SS.mmm')

  it('is taken by auto on a terminal, in colours', () => {
    const { logger, lines } = logTo({ format: 'auto', isTTY: true })
    logger.child('mqtt').info({ server: 'broker:1883' }, 'connected')
    expect(shown(lines[0])).toBe(
      '\u001b[2mHH:MM:SS.mmm\u001b[0m \u001b[32minfo \u001b[0m \u001b[2mmqtt    \u001b[0m connected  \u001b[2mserver=\u001b[0mbroker:1883\n',
    )
  })

  it('has no colours elsewhere, and puts a hint on its own line', () => {
    const { logger, lines } = logTo({ format: 'pretty' })
    logger.failure(new BridgeError("dialling 'x': refused", { code: 'HOST_UNKNOWN' }), 'waiting')
    expect(shown(lines[0])).toBe(
      'HH:MM:SS.mmm warn  bridge   waiting  code=HOST_UNKNOWN  error="dialling \'x\': refused"\n' +
        '             → the host name does not resolve: check the name and DNS\n',
    )
  })

  it('is not taken by auto where there is no terminal', () => {
    const { logger, last } = logTo({ format: 'auto' })
    logger.info({}, 'x')
    expect(last()['msg']).toBe('x')
  })
})
