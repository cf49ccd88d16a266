import { envName, flagName } from './paths.ts'

/** Which layer set a value; a later one wins. */
export type Layer = 'default' | 'file' | 'environment' | 'flag'

/** Remembers where each value came from. */
export class Sources {
  readonly #file: string
  readonly #lines: ReadonlyMap<string, number>
  readonly #present: ReadonlySet<string>
  readonly #environment: ReadonlySet<string>
  readonly #flags: ReadonlySet<string>

  /**
   * @param file name of the file as problems show it
   * @param lines line of each path in the file
   * @param present paths the file sets; more than have a line, as merged keys (`<<`) have none
   * @param environment paths set by variables
   * @param flags paths set by flags
   */
  constructor(
    file: string,
    lines: ReadonlyMap<string, number>,
    present: ReadonlySet<string>,
    environment: ReadonlySet<string>,
    flags: ReadonlySet<string>,
  ) {
    this.#file = file
    this.#lines = lines
    this.#present = present
    this.#environment = environment
    this.#flags = flags
  }

  /** The layer that set a setting. */
  layerOf(path: string): Layer {
    const setting = path.replace(/\[.*$/, '')
    if (this.#flags.has(setting)) return 'flag'
    if (this.#environment.has(setting)) return 'environment'
    return this.#present.has(setting) ? 'file' : 'default'
  }

  /** `bridge.yaml:12`, `MQTTNATS_MQTT_URL`, `--log-level` or `default`, of a setting or a place inside one. */
  of(path: string): string {
    const setting = path.replace(/\[.*$/, '')
    if (this.#flags.has(setting)) return flagName(setting)
    if (this.#environment.has(setting)) return envName(setting)
    return this.#present.has(setting) ? this.inFile(path) : 'default'
  }

  /** The place in the file, of the path or of the nearest thing around it; the file alone when there is none. */
  inFile(path: string): string {
    for (let around = path; around !== ''; around = parentOf(around)) {
      const line = this.#lines.get(around)
      if (line !== undefined) return `${this.#file}:${line}`
    }
    return this.#file
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('.'), path.lastIndexOf('[')))
}
