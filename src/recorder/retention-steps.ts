import { SteleError } from '../errors.ts'
import { doStep } from '../retention/do-step.ts'
import type { DoStep } from '../retention/steps.ts'
import type { Store } from '../store/contents.ts'
import type { Writer } from './writer.ts'

/**
 * How steps of retention are done: by the writer where there is one that all writing goes through, so that calls never wait
 * for a lock; elsewhere beside it, where a step that is held up holds up nobody.
 */
export function retentionSteps(database: Store, writer: Writer): DoStep {
  if (!database.capabilities.hasOneWriter) return step => doStep(database, step)
  return async step => {
    const [applied] = await writer.apply([{ kind: 'retention', step }])
    if (applied?.ok === false) throw new SteleError(applied.error.code, applied.error.details)
    const done = applied?.result.step
    if (done === undefined) throw new SteleError('store_unavailable', { reason: 'the writer gave no answer' })
    return done
  }
}
