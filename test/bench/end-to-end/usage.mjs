import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { pause } from './stage.mjs'

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/**
 * CPU seconds a process has used so far, all threads, user and system (proc(5), stat, fields 14 and 15).
 *
 * @param {number} pid
 */
export function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field, the name, may hold blanks; what follows its bracket does not.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/**
 * The largest resident set of a process so far, MB (10^6 bytes).
 *
 * @param {number} pid
 */
export function peakMegabytes(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kibibytes = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1])
  return (kibibytes * 1024) / 1e6
}

/**
 * Waits until the processes have come to rest, so that work left over when the last message arrived
 * (acknowledgements, echoes) is counted for who caused it.
 *
 * @param {number[]} pids
 */
export async function rested(pids) {
  const total = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
  const look = 200
  const quiet = 0.03
  for (let i = 0; i < 50; i++) {
    const before = total()
    await pause(look)
    if (total() - before <= quiet) return
  }
}
