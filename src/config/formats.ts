import { nearest } from './nearest.ts'
import {
  DURATION_PATTERN,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
  SIZE_PATTERN,
} from './quantities.ts'

/** A value of JSON, as a schema or a default is made of. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json }

/** What is wrong inside a value; `at` is the way from the setting to the place: empty, `[1]`, `[0].qos`. */
export interface Mistake {
  readonly at: string
  readonly text: string
}

/** A value understood, or everything that is wrong with it. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly mistakes: readonly Mistake[] }

/** The kinds of values a setting can hold. */
export type FormatName =
  | 'text'
  | 'texts'
  | 'path'
  | 'secret'
  | 'integer'
  | 'boolean'
  | 'choice'
  | 'duration'
  | 'size'
  | 'addresses'
  | 'listen'
  | 'startAt'
  | 'routes'

/** How the values of a setting are written, checked and described. */
export interface Format<T> {
  readonly name: FormatName
  /** Never throws; mistakes of a `secret` never repeat the value. */
  readonly parse: (value: unknown) => Parsed<T>
  /** The same as JSON Schema. */
  readonly schema: { readonly [key: string]: Json }
  /** The same in words that follow "write": `a whole number from 1 to 16384`. */
  readonly syntax: string
}

/** A value that passed. */
export function accept<T>(value: T): Parsed<T> {
  return { ok: true, value }
}

/** A value with one mistake. */
export function refuse(text: string, at = ''): { ok: false; mistakes: readonly Mistake[] } {
  return { ok: false, mistakes: [{ at, text }] }
}

/** A value as a problem may show it: quoted, on one line, at most 60 characters. */
export function show(value: unknown): string {
  if (typeof value === 'string') return `'${clip(value)}'`
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a section'
  return clip(String(value))
}

function clip(text: string): string {
  const line = text.slice(0, 61).replaceAll(/[\p{Cc}\p{Cs}]/gu, '·')
  return line.length > 60 ? `${line.slice(0, 60)}…` : line
}

/** Words as a sentence lists them: `a, b or c`. */
export function anyOf(words: readonly (string | number)[]): string {
  return words.length < 2
    ? words.join('')
    : `${words.slice(0, -1).join(', ')} or ${words[words.length - 1]}`
}

/** One line of text without control characters, 1 to `max` characters. */
export function text(syntax: string, max = 1024): Format<string> {
  return {
    name: 'text',
    syntax,
    schema: { type: 'string', minLength: 1, maxLength: max },
    parse: (value) => {
      if (typeof value !== 'string') {
        return refuse(`${show(value)} is not text: write ${syntax}, in quotes if need be`)
      }
      if (value === '') return refuse(`is empty: write ${syntax}`)
      if (value.length > max) return refuse(`is too long: write at most ${max} characters`)
      if (/[\p{Cc}\p{Cs}]/u.test(value)) {
        return refuse(`${show(value)} holds control characters: write ${syntax}`)
      }
      return accept(value)
    },
  }
}

/** Path of a file. A value of several lines is taken for the file's content and not repeated. */
export function path(syntax: string): Format<string> {
  const inner = text(syntax, 4096)
  return {
    ...inner,
    name: 'path',
    parse: (value) => {
      if (typeof value === 'string' && /[\r\n]/.test(value)) {
        return refuse('is the content of a file, as it seems: write the path of the file')
      }
      return inner.parse(value)
    },
  }
}

/** A secret written inline. What it holds is in no mistake. */
export function secret(syntax: string): Format<string> {
  return {
    name: 'secret',
    syntax,
    schema: { type: 'string', minLength: 1 },
    parse: (value) => {
      if (typeof value !== 'string') return refuse(`is not text: write ${syntax}, in quotes`)
      return value === '' ? refuse(`is empty: write ${syntax}`) : accept(value)
    },
  }
}

/** A whole number between two others. */
export function integer(min: number, max: number): Format<number> {
  const syntax = `a whole number from ${min} to ${max}`
  return {
    name: 'integer',
    syntax,
    schema: { type: 'integer', minimum: min, maximum: max },
    parse: (value) => {
      if (typeof value !== 'number' || !Number.isInteger(value)) {
        return refuse(`${show(value)} is not a whole number: write ${syntax}`)
      }
      if (value < min || value > max) {
        return refuse(`${show(value)} is out of range: write ${syntax}`)
      }
      return accept(value)
    },
  }
}

/** `true` or `false`. */
export function boolean(): Format<boolean> {
  return {
    name: 'boolean',
    syntax: 'true or false',
    schema: { type: 'boolean' },
    parse: (value) =>
      typeof value === 'boolean'
        ? accept(value)
        : refuse(`${show(value)} is neither: write true or false`),
  }
}

/** One of a few words or numbers. */
export function choice<const T extends string | number>(options: readonly T[]): Format<T> {
  const syntax = anyOf(options)
  return {
    name: 'choice',
    syntax,
    schema: { enum: options },
    parse: (value) => {
      const scalar = typeof value === 'string' || typeof value === 'number'
      const found = options.find((option) => scalar && String(option) === String(value))
      if (found !== undefined) return accept(found)
      const close = typeof value === 'string' ? nearest(value, options.map(String)) : undefined
      const guess = close === undefined ? '' : `; did you mean ${close}?`
      return refuse(`${show(value)} is not known: write ${syntax}${guess}`)
    },
  }
}

/**
 * A duration between two others (`30s`), read into a number of `unit`. The bounds are in milliseconds.
 */
export function duration(unit: 's' | 'ms', min: number, max: number): Format<number> {
  const syntax = `a duration from ${formatDuration(min)} to ${formatDuration(max)}`
  return {
    name: 'duration',
    syntax,
    schema: { type: 'string', pattern: DURATION_PATTERN },
    parse: (value) => {
      const milliseconds = typeof value === 'string' ? parseDuration(value) : undefined
      if (milliseconds === undefined) {
        return refuse(
          isNumeral(value)
            ? `${show(value)} has no unit: write ${value}s or ${value}ms`
            : `${show(value)} is not a duration: write a whole number and ms, s, m, h or d, such as 30s`,
        )
      }
      if (milliseconds < min || milliseconds > max) {
        return refuse(`${show(value)} is out of range: write ${syntax}`)
      }
      if (unit === 'ms') return accept(milliseconds)
      return milliseconds % 1000 === 0
        ? accept(milliseconds / 1000)
        : refuse(`${show(value)} is not whole seconds: write ${syntax} in seconds`)
    },
  }
}

/** A size between two others (`64KiB`), read into bytes. */
export function size(min: number, max: number): Format<number> {
  const syntax = `a size from ${formatSize(min)} to ${formatSize(max)}`
  return {
    name: 'size',
    syntax,
    schema: { type: 'string', pattern: SIZE_PATTERN },
    parse: (value) => {
      const bytes = typeof value === 'string' ? parseSize(value) : undefined
      if (bytes === undefined) {
        return refuse(
          isNumeral(value)
            ? `${show(value)} has no unit: write ${value}B or ${value}KiB`
            : `${show(value)} is not a size: write a whole number and B, KiB, MiB or GiB, such as 64KiB`,
        )
      }
      return bytes < min || bytes > max
        ? refuse(`${show(value)} is out of range: write ${syntax}`)
        : accept(bytes)
    },
  }
}

function isNumeral(value: unknown): boolean {
  return typeof value !== 'object' && /^[0-9]{1,15}$/.test(String(value))
}
