const tasks = new Set<() => void>()

function runAll(): void {
  for (const task of tasks) task()
  tasks.clear()
}

process.on('exit', runAll)
// The test runner ends its workers by a signal, and then there is no `exit` event.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.once(signal, () => {
    runAll()
    process.kill(process.pid, signal)
  })
}

/** Runs the task when this process ends, by itself or by a signal that can be caught. It must not wait for anything. */
export function atEnd(task: () => void): void {
  tasks.add(task)
}
