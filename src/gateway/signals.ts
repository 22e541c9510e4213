/**
 * Resolves at the first signal to stop; a second one ends the process at once.
 * @param atOnce what must be done before that
 */
export function stopSignal(atOnce: () => void = () => undefined): Promise<void> {
  return new Promise(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        process.once(signal, () => {
          atOnce()
          process.exit(130)
        })
        resolve()
      })
    }
  })
}
