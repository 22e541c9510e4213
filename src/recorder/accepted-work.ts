/** Counts work from the moment it is accepted: whoever closes waits for it. */
export class AcceptedWork {
  #count = 0
  readonly #whenDone: (() => void)[] = []

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#count++
    try {
      return await work()
    } finally {
      this.#count--
      if (this.#count === 0) for (const resolve of this.#whenDone.splice(0)) resolve()
    }
  }

  /** Resolves when none is under way. */
  async done(): Promise<void> {
    if (this.#count > 0) await new Promise<void>(resolve => this.#whenDone.push(resolve))
  }
}
