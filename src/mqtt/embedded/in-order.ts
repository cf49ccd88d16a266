interface Step {
  run: (() => void) | undefined
  ready: boolean
}

/** Steps that become ready in any order and run in the order they were added; used for acknowledgements. */
export class InOrder {
  readonly #steps: Step[] = []

  /** Steps not run so far. */
  get size(): number {
    return this.#steps.length
  }

  /** Adds a step; returns what makes it ready. */
  add(run: () => void): () => void {
    const step: Step = { run, ready: false }
    this.#steps.push(step)
    return () => {
      step.ready = true
      this.#advance()
    }
  }

  /** Forgets all steps. */
  clear(): void {
    this.#steps.length = 0
  }

  #advance(): void {
    while (this.#steps[0]?.ready === true) {
      const step = this.#steps.shift()
      const run = step?.run
      if (step !== undefined) step.run = undefined
      run?.()
    }
  }
}
