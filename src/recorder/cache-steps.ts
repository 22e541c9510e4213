import { doCacheStep } from '../cache/do-step.ts'
import type { DoCacheStep } from '../cache/steps.ts'
import { SteleError } from '../errors.ts'
import type { Store } from '../store/contents.ts'
import type { Writer } from './writer.ts'

/** How steps of the cache are done: by the writer where all writing goes through one, elsewhere beside it. */
export function cacheSteps(database: Store, writer: Writer): DoCacheStep {
  if (!database.capabilities.hasOneWriter) return step => doCacheStep(database, step)
  return async step => {
    const [applied] = await writer.apply([{ kind: 'cache', step }])
    if (applied?.ok === false) throw new SteleError(applied.error.code, applied.error.details)
    const done = applied?.result.cache
    if (done === undefined) throw new SteleError('store_unavailable', { reason: 'the writer gave no answer' })
    return done
  }
}
