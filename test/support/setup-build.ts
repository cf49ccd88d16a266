import { execFile } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')

let built = false

/** Compiles the program into dist/ when a source is newer than what lies there, so that tests start what is written. */
export async function setup(): Promise<void> {
  if (built) return
  built = true
  const newestSource = Math.max(newest('src', '.ts'), mtime('tsconfig.build.json'))
  if (newest('dist', '.js') > newestSource && mtime('dist/main.js') > 0) return
  const [failed, said] = await compile()
  if (!failed) return
  if (process.env['CI']) throw new Error(`building dist: ${said}`)
  process.stderr.write(`building dist: going on in spite of type errors\n${said}\n`)
}

function compile(): Promise<[boolean, string]> {
  const args = ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json']
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: ROOT }, (error, stdout, stderr) => {
      resolve([error !== null, `${stdout}${stderr}`.trim()])
    })
  })
}

/** Latest change (ms since the epoch) of the files with that ending in a folder; 0 when there is none. */
function newest(folder: string, ending: string): number {
  try {
    const files = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    const times = files.filter((f) => f.endsWith(ending)).map((f) => mtime(join(folder, f)))
    return Math.max(0, ...times)
  } catch {
    return 0
  }
}

function mtime(file: string): number {
  return statSync(join(ROOT, file), { throwIfNoEntry: false })?.mtimeMs ?? 0
}
