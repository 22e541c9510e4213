import type { Logger } from 'pino'
import { SteleError } from '../errors.ts'
import type { Retention } from '../retention/service.ts'

/** The first run comes this long after the start at the latest, in milliseconds: whoever restarts often has one too. */
const firstAfter = 30_000

export interface RetentionJob {
  /** Ends a run between two steps, and waits for that. */
  stop(): Promise<void>
}

/**
 * Lets go what has expired, every `period` milliseconds. Of several gateways on one database one does; when it is gone
 * another takes over.
 */
export function startRetentionJob(
  retention: Pick<Retention, 'run' | 'takeTurn'>,
  { period, logger }: { period: number; logger: Pick<Logger, 'debug' | 'info' | 'error'> },
): RetentionJob {
  const stopping = new AbortController()
  let current: Promise<void> | undefined

  const run = async (): Promise<void> => {
    try {
      if (!(await retention.takeTurn(period))) return
      const startedAt = performance.now()
      const { expired, droppedMonths, busyMonths, reclaimedBytes } = await retention.run({
        signal: stopping.signal,
      })
      const took = Math.round(performance.now() - startedAt)
      const isQuiet = expired.length + busyMonths.length === 0 && reclaimedBytes === 0
      logger[isQuiet ? 'debug' : 'info'](
        { expired, droppedMonths, busyMonths, reclaimedBytes, took },
        'let go what has expired',
      )
    } catch (error) {
      const isExpected =
        stopping.signal.aborted || (error instanceof SteleError && error.code === 'retention_running')
      if (!isExpected)
        logger.error({ err: error }, 'letting go what has expired failed; the next run goes on')
    }
  }
  const start = (): void => {
    current ??= run().finally(() => {
      current = undefined
    })
  }

  const first = setTimeout(start, Math.min(firstAfter, period)).unref()
  const interval = setInterval(start, period).unref()
  return {
    async stop() {
      clearTimeout(first)
      clearInterval(interval)
      stopping.abort()
      await current
    },
  }
}
