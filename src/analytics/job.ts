import type { Usage } from './service.ts'

/** Milliseconds between two looks whether there are calls to sum up. */
const period = 60_000

export interface UsageJob {
  /** Ends a run between two steps, and waits for that. */
  stop(): Promise<void>
}

/**
 * Sums calls up every minute, in a process that records some. Several processes on one database may: whoever comes second
 * finds little left to do.
 */
export function startUsageJob(
  usage: Pick<Usage, 'rollUp'>,
  {
    isWanted,
    onError,
  }: {
    /** False while this process has recorded nothing, or cannot. */
    readonly isWanted: () => boolean
    readonly onError: ((error: unknown) => void) | undefined
  },
): UsageJob {
  const stopping = new AbortController()
  let current: Promise<unknown> | undefined
  const interval = setInterval(() => {
    if (!isWanted()) return
    current ??= usage
      .rollUp({ signal: stopping.signal })
      .catch(error => (stopping.signal.aborted ? undefined : onError?.(error)))
      .finally(() => {
        current = undefined
      })
  }, period).unref()
  return {
    async stop() {
      clearInterval(interval)
      stopping.abort()
      await current
    },
  }
}
