import type { Format, Json } from './formats.ts'

/** One setting: how it is written, what it means, what it is when nobody sets it. */
export interface Setting<T> {
  readonly format: Format<Exclude<T, undefined>>
  /** What it is for, as `docs/configuration.md` and the JSON schema say it. */
  readonly doc: string
  /** The default as a file would write it; `null` when there is none. */
  readonly preset: Json
  /** Words for the default, where it follows from another setting. */
  readonly presetDoc?: string
  /** True when a value must be given. */
  readonly required?: boolean
  /** Carries T, which is `undefined` too for a setting without default; never set. */
  readonly type?: T
}

/** What a setting holds once read. */
export type ValueOf<S> = S extends Setting<infer T> ? T : never

/** A setting with a default. */
export function setting<T>(format: Format<T>, preset: Json, doc: string): Setting<T> {
  return { format: format as Format<Exclude<T, undefined>>, preset, doc }
}

/** A setting that may stay unset; `presetDoc` says what then happens. */
export function optional<T>(
  format: Format<T>,
  doc: string,
  presetDoc?: string,
): Setting<T | undefined> {
  return {
    format: format as Format<Exclude<T, undefined>>,
    preset: null,
    doc,
    ...(presetDoc === undefined ? {} : { presetDoc }),
  }
}

/** A setting that has to be given. */
export function required<T>(format: Format<T>, doc: string): Setting<T> {
  return { format: format as Format<Exclude<T, undefined>>, preset: null, doc, required: true }
}
