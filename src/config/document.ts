import { readFileSync, statSync } from 'node:fs'
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import { BridgeError, type Problem, toBridgeError } from '../core/errors.ts'
import { joinPath } from './paths.ts'

/** Largest configuration file that is read, bytes. */
const MAX_BYTES = 1_048_576

/** A configuration file, read but not judged. */
export interface FileDocument {
  /** What it holds; undefined when it is empty or no YAML. */
  readonly root: unknown
  /** Line of each key and list item, by path. */
  readonly lines: ReadonlyMap<string, number>
  /** Breaches of YAML itself. */
  readonly problems: readonly Problem[]
}

/** What is wrong with the YAML, by the code of the parser; its own messages may repeat what is in the file. */
const SYNTAX: Readonly<Record<string, string>> = {
  BAD_ALIAS: 'names an anchor that is not there: put a value that begins with * in quotes',
  BAD_DQ_ESCAPE: 'has an unknown escape in double quotes: use single quotes, or write \\ as \\\\',
  BAD_INDENT: 'is indented wrongly: keys of one section begin in one column',
  BAD_SCALAR_START: 'begins with a character that YAML reserves: put the value in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'has a second key on one line: put a value that holds ": " in quotes',
  DUPLICATE_KEY: 'repeats a key of the same section: keep one of them',
  MISSING_CHAR: 'lacks a closing quote, bracket or colon, here or above',
  MULTILINE_IMPLICIT_KEY: 'lacks a colon after a key, or is indented wrongly',
  MULTIPLE_DOCS: 'begins a second document: a configuration is one, without ---',
  TAB_AS_INDENT: 'is indented with a tab: YAML takes spaces only',
  TAG_RESOLVE_FAILED: 'has a tag that is not known: put a value that begins with ! in quotes',
}

/**
 * Reads a YAML or JSON file; `name` is how problems call it. Throws `BridgeError` CONFIG_UNREADABLE when
 * there is no such file or it cannot be read.
 */
export function readDocument(path: string, name: string): FileDocument {
  return parseText(readText(path, name), name)
}

function readText(path: string, name: string): string {
  let size: number
  try {
    const stat = statSync(path)
    if (!stat.isFile()) throw new Error('not a file')
    size = stat.size
    if (size <= MAX_BYTES) return readFileSync(path, 'utf8')
  } catch (cause) {
    const reason = toBridgeError(cause).message
    throw new BridgeError(`reading configuration file '${name}': ${reason}`, {
      code: 'CONFIG_UNREADABLE',
      cause,
    })
  }
  throw new BridgeError(`reading configuration file '${name}': ${size} bytes are too many`, {
    code: 'CONFIG_UNREADABLE',
  })
}

/** Reads the text of a configuration file. */
export function parseText(text: string, name: string): FileDocument {
  const lineCounter = new LineCounter()
  const lineOf = (offset: number) => lineCounter.linePos(offset).line
  const problems: Problem[] = []
  const report = (code: string, offset: number) =>
    problems.push({
      path: '(file)',
      text: SYNTAX[code] ?? 'is not YAML: check quotes, colons and indentation here and above',
      source: `${name}:${lineOf(offset)}`,
    })
  try {
    const options = { lineCounter, prettyErrors: false, merge: true, logLevel: 'error' } as const
    const document = parseDocument(text, options)
    for (const { code, pos } of [...document.errors, ...document.warnings]) report(code, pos[0])
    const lines = new Map<string, number>()
    noteLines(document.contents, '', {
      document,
      line: (path, offset) => lines.set(path, lineOf(offset)),
      dangling: (offset) => report('BAD_ALIAS', offset),
    })
    if (problems.length > 0) return { root: undefined, lines: new Map(), problems }
    return { root: document.toJS(), lines, problems }
  } catch {
    const problem = 'nests too deeply or repeats too many aliases: write it out plainly'
    problems.push({ path: '(file)', text: problem, source: name })
    return { root: undefined, lines: new Map(), problems }
  }
}

/** Who is told what the walk through a document finds. */
interface Finds {
  readonly document: Document
  line(path: string, offset: number): void
  /** An alias without its anchor. */
  dangling(offset: number): void
}

function noteLines(node: unknown, path: string, finds: Finds): void {
  if (isMap(node)) {
    for (const { key, value } of node.items) {
      if (!isScalar(key)) continue
      const child = joinPath(path, String(key.value))
      finds.line(child, startOf(key))
      noteLines(value, child, finds)
    }
  } else if (isSeq(node)) {
    node.items.forEach((item, index) => {
      finds.line(`${path}[${index}]`, startOf(item))
      noteLines(item, `${path}[${index}]`, finds)
    })
  } else if (isAlias(node) && node.resolve(finds.document) === undefined) {
    finds.dangling(startOf(node))
  }
}

/** Offset of a node; every node that was parsed has one. */
function startOf(node: unknown): number {
  return Number((node as { readonly range?: readonly number[] } | null)?.range?.[0])
}
