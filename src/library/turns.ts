/** Lets work on the same thing be done one after another, whatever becomes of the one before; other things do not wait. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  /** Does `work` when all that was asked for before under this key is over. */
  take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key)
    const mine = before === undefined ? work() : before.then(work, work)
    this.#last.set(key, mine)
    const leave = (): void => {
      if (this.#last.get(key) === mine) this.#last.delete(key)
    }
    mine.then(leave, leave)
    return mine
  }
}
