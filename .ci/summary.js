// Adds up test reports and prints the closing line `N passed, N failed`. Exit code 0 only when
// nothing failed and every report that was expected is there and holds tests.
//
//   node .ci/summary.js --broken STEPS --exit STATUS REPORT...
//
// STEPS: how many other steps failed; STATUS: how the script ended; REPORT: JSON written by the test
// runner, with its exit code in REPORT.status when that was not 0.
import { existsSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  options: { broken: { type: 'string' }, exit: { type: 'string' } },
  allowPositionals: true,
})

const total = { passed: 0, failed: Number(values.broken ?? 0) }
for (const file of positionals) {
  const { passed, failed, why } = count(file)
  total.passed += passed
  total.failed += failed
  if (why) process.stdout.write(`${file}: ${why}\n`)
}
if (positionals.length === 0 && total.failed === 0) total.failed = 1
if (Number(values.exit ?? 0) !== 0 && total.failed === 0) total.failed = 1
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`)
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1

/** One report; whatever is wrong with it counts as one failure, and is said. */
function count(file) {
  const status = existsSync(`${file}.status`) ? readFileSync(`${file}.status`, 'utf8') : '0'
  let report
  try {
    report = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return { passed: 0, failed: 1, why: `no report (exit code ${status})` }
  }
  const passed = report.numPassedTests ?? 0
  // A file that fails before its tests are known has none that failed.
  const files = report.testResults ?? []
  const crashed = files.filter((f) => f.status === 'failed' && !f.assertionResults?.some(hasFailed))
  const failed = (report.numFailedTests ?? 0) + crashed.length
  if (failed > 0) return { passed, failed }
  if (passed === 0) return { passed, failed: 1, why: 'no tests in the report' }
  const good = status === '0' && report.success === true
  return good
    ? { passed, failed }
    : { passed, failed: 1, why: `exit code ${status}, no test failed` }
}

function hasFailed(test) {
  return test.status === 'failed'
}
