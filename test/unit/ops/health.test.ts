import { describe, expect, it } from 'vitest'
import { isLive, readiness } from '../../../src/ops/health.ts'
import { sampleReport } from './sample-report.ts'

describe('isLive', () => {
  it('is true until the bridge has stopped, also while a side is away', () => {
    const report = sampleReport()
    report.ready = false
    report.links.nats.state = 'waiting'
    for (const state of ['idle', 'starting', 'running', 'draining'] as const) {
      expect(isLive({ ...report, state })).toBe(true)
    }
    expect(isLive({ ...report, state: 'stopped' })).toBe(false)
  })
})

describe('readiness', () => {
  it('is given without reasons when the bridge is ready', () => {
    expect(readiness({ ...sampleReport(), reasons: ['stale'] })).toEqual({
      ready: true,
      reasons: [],
    })
  })

  it('gives the reasons of the bridge', () => {
    const report = { ...sampleReport(), ready: false, reasons: ['nats: the user JWT has expired'] }
    expect(readiness(report).reasons).toEqual(['nats: the user JWT has expired'])
  })

  it('names the sides that are not connected when the bridge gives no reason', () => {
    const report = { ...sampleReport(), ready: false }
    report.links.nats.state = 'connecting'
    expect(readiness(report)).toEqual({ ready: false, reasons: ['nats: connecting'] })
  })

  it('names the state of the bridge when both sides are connected', () => {
    const report = { ...sampleReport(), ready: false, state: 'draining' as const }
    expect(readiness(report).reasons).toEqual(['bridge: draining'])
  })
})
