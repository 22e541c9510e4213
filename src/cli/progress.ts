import { Presets, SingleBar } from 'cli-progress'

/** How far long work is, for the person at the keyboard; nothing is shown where stderr is no terminal. */
export interface Progress {
  /** @param what the part that is being worked on */
  update(done: number, total: number, what?: string): void
}

/** Runs `work` with a bar on stderr that is gone from the terminal when the work ends, however it ends. */
export async function withProgress<R>(unit: string, work: (progress: Progress) => Promise<R>): Promise<R> {
  if (!process.stderr.isTTY) return work({ update: () => undefined })
  const bar = new SingleBar(
    {
      stream: process.stderr,
      format: `{what} {bar} {percentage}% · {value} of {total} ${unit} · {eta_formatted} left`,
      hideCursor: true,
      clearOnComplete: true,
      etaBuffer: 100,
    },
    Presets.shades_classic,
  )
  let isStarted = false
  try {
    return await work({
      update(done, total, what = '') {
        if (!isStarted) bar.start(total, done, { what })
        isStarted = true
        bar.setTotal(total)
        bar.update(done, { what })
      },
    })
  } finally {
    if (isStarted) bar.stop()
  }
}
