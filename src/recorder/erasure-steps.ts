import { doErasureStep } from '../erasure/do-step.ts'
import type { DoErasureStep } from '../erasure/steps.ts'
import { SteleError } from '../errors.ts'
import type { Store } from '../store/contents.ts'
import type { Writer } from './writer.ts'

/** How steps of an erasure are done: by the writer where all writing goes through one, elsewhere beside it. */
export function erasureSteps(database: Store, writer: Writer): DoErasureStep {
  if (!database.capabilities.hasOneWriter) return step => doErasureStep(database, step)
  return async step => {
    const [applied] = await writer.apply([{ kind: 'erasure', step }])
    if (applied?.ok === false) throw new SteleError(applied.error.code, applied.error.details)
    const done = applied?.result.erasure
    if (done === undefined) throw new SteleError('store_unavailable', { reason: 'the writer gave no answer' })
    return done
  }
}
