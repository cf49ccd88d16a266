import { describe, expect, test } from 'vitest'
import { BridgeError, ERRORS, type ErrorCode, toBridgeError } from '../../../src/core/errors.ts'
import { LinkReport } from '../../../src/core/ports.ts'
import { viewOf } from '../../support/views.ts'

describe('a bridge error', () => {
  test('carries the hint of its code, and whether trying again can help', () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      const error = new BridgeError('doing', { code })
      expect([error.hint, error.retry]).toEqual([ERRORS[code].hint, ERRORS[code].retry])
      expect(error.hint.length).toBeGreaterThan(10)
    }
  })

  test('is made of whatever was thrown, and stays itself', () => {
    const own = new BridgeError('doing', { code: 'USAGE' })
    expect(toBridgeError(own, 'INTERNAL')).toBe(own)
    const cause = new TypeError('bad')
    expect(toBridgeError(cause)).toMatchObject({ code: 'INTERNAL', message: 'bad', cause })
    expect(toBridgeError('text', 'LINK_LOST')).toMatchObject({ code: 'LINK_LOST', message: 'text' })
  })
})

test('a link report counts failures by code and keeps the last one', () => {
  const report = new LinkReport('nats')
  report.fail(new BridgeError('one', { code: 'LINK_LOST' }), 5)
  report.fail(new BridgeError('two', { code: 'LINK_LOST' }), 6)
  expect([...report.failures]).toEqual([['LINK_LOST', 2]])
  expect(report.lastError).toMatchObject({ code: 'LINK_LOST', message: 'two', at: 6 })
})

test('a view gives its name as a key of bytes and as text', () => {
  const view = viewOf({ name: 'ä/b', payload: 'xyz' })
  expect([view.nameKey, view.name, view.payloadLength]).toEqual(['Ã¤/b', 'ä/b', 3])
})
