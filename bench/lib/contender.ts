/** Something that records turns. */
export interface Contender {
  readonly name: string
  /** How it was run, durability included. */
  readonly note: string
  /** Records for `seconds` with so many concurrent writers; resolves with turns per second. */
  run(writers: number, seconds: number): Promise<number>
  close(): Promise<void>
}

/** `writers` loops of `turn` side by side until the time is up; turns per second. */
export async function timeTurns(
  writers: number,
  seconds: number,
  turn: (writer: number) => Promise<void>,
): Promise<number> {
  let turns = 0
  const start = performance.now()
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      while (performance.now() - start < seconds * 1000) {
        await turn(writer)
        turns += 1
      }
    }),
  )
  return (turns * 1000) / (performance.now() - start)
}
