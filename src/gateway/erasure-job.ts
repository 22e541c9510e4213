import type { FastifyBaseLogger } from 'fastify'
import type { Stele } from '../stele.ts'

/** Finishes erasures that an earlier process left off, in the background. `stop` ends it between two steps. */
export function finishErasures(
  { erase, unfinishedErasures }: Pick<Stele, 'erase' | 'unfinishedErasures'>,
  logger: FastifyBaseLogger,
): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const { signal } = stopping
  const work = async (): Promise<void> => {
    for (const userId of await unfinishedErasures()) {
      if (signal.aborted) return
      await erase(userId, { signal })
      logger.warn('finished an erasure that had broken off')
    }
  }
  const done = work().catch((error: unknown) => {
    if (!signal.aborted) logger.error({ err: error }, 'an erasure could not be finished')
  })
  return {
    async stop() {
      stopping.abort()
      await done
    },
  }
}
