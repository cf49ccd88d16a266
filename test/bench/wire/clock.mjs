/** Microseconds of the machine's monotonic clock: comparable between processes of one machine. */
export function microseconds() {
  return Number(process.hrtime.bigint() / 1000n)
}
