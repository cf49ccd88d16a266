import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startChild } from '../../support/child.ts'
import { tempFolder } from '../../support/temp.ts'

const SUMMARY = join(import.meta.dirname, '../../../.ci/summary.js')

const good = (passed: number) => ({
  numPassedTests: passed,
  numFailedTests: 0,
  success: true,
  testResults: [{ status: 'passed', assertionResults: [{ status: 'passed' }] }],
})

interface Run {
  readonly report?: object | string
  readonly status?: number
}

/** Last line and exit code of the summary over these reports. */
async function summary(runs: readonly Run[], broken = 0, exit = 0) {
  await using folder = await tempFolder()
  const files: string[] = []
  for (const [i, { report, status }] of runs.entries()) {
    const file = join(folder.path, `${i}.json`)
    files.push(file)
    const text = typeof report === 'string' ? report : JSON.stringify(report)
    if (report !== undefined) await writeFile(file, text)
    if (status !== undefined) await writeFile(`${file}.status`, String(status))
  }
  const args = [SUMMARY, '--broken', String(broken), '--exit', String(exit), ...files]
  const child = await startChild(process.execPath, args)
  const { code } = await child.ended
  return [child.stdout().trimEnd().split('\n').at(-1), code]
}

describe('the closing line of a check', () => {
  it('adds up all reports', async () => {
    const runs = [{ report: good(10) }, { report: good(5) }]
    expect(await summary(runs)).toEqual(['15 passed, 0 failed', 0])
  })

  it('counts failed tests', async () => {
    const report = {
      ...good(3),
      numFailedTests: 2,
      success: false,
      testResults: [{ status: 'failed', assertionResults: [{ status: 'failed' }] }],
    }
    expect(await summary([{ report, status: 1 }])).toEqual(['3 passed, 2 failed', 1])
  })

  it('counts a test file that could not be loaded', async () => {
    const report = {
      ...good(3),
      success: false,
      testResults: [{ status: 'failed', assertionResults: [] }],
    }
    expect(await summary([{ report, status: 1 }])).toEqual(['3 passed, 1 failed', 1])
  })

  it('counts a failed step although all tests passed', async () => {
    expect(await summary([{ report: good(4) }], 1)).toEqual(['4 passed, 1 failed', 1])
  })

  it.each([
    ['no report', { status: 1 }],
    ['no report although the runner was content', {}],
    ['half a report', { report: '{"numPassed' }],
    ['a report without tests', { report: good(0) }],
    ['a good report of a runner that failed after it', { report: good(1), status: 1 }],
    ['a report that does not call itself a success', { report: { ...good(1), success: false } }],
  ])('fails with %s', async (_, run) => {
    const [line, code] = await summary([{ report: good(2) }, run])
    expect(line).toMatch(/^[23] passed, 1 failed$/)
    expect(code).toBe(1)
  })

  it('fails when the script ended before any test', async () => {
    expect(await summary([], 0, 0)).toEqual(['0 passed, 1 failed', 1])
    expect(await summary([], 0, 130)).toEqual(['0 passed, 1 failed', 1])
    expect(await summary([{ report: good(1) }], 0, 130)).toEqual(['1 passed, 1 failed', 1])
  })
})
