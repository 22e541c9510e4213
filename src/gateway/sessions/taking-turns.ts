/** Runs what has the same name one after another, in the order in which it was asked for. */
export function takingTurns(): <T>(name: string, run: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>()
  return async (name, run) => {
    const turn = (last.get(name) ?? Promise.resolve()).then(run)
    // Whoever comes next waits for the end of it, however it ends.
    const over = turn.catch(() => undefined)
    last.set(name, over)
    try {
      return await turn
    } finally {
      if (last.get(name) === over) last.delete(name)
    }
  }
}
