import { doUsageStep } from '../analytics/do-step.ts'
import type { DoUsageStep } from '../analytics/steps.ts'
import type { Database } from '../db/database.ts'
import { SteleError } from '../errors.ts'
import type { Writer } from './writer.ts'

/** How steps of summing up calls are done: by the writer where there is one that all writing goes through, else beside it. */
export function usageSteps(database: Database, writer: Writer): DoUsageStep {
  if (!database.capabilities.hasOneWriter) return step => doUsageStep(database, step)
  return async step => {
    const [applied] = await writer.apply([{ kind: 'usage', step }])
    if (applied?.ok === false) throw new SteleError(applied.error.code, applied.error.details)
    const done = applied?.result.usage
    if (done === undefined) throw new SteleError('store_unavailable', { reason: 'the writer gave no answer' })
    return done
  }
}
