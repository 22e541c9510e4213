import { SteleError } from '../errors.ts'
import { type DoRepriceStep, doRepriceStep } from '../pricing/reprice-step.ts'
import type { Store } from '../store/contents.ts'
import type { Writer } from './writer.ts'

/** How steps of repricing are done: by the writer where all writing goes through one, elsewhere beside it. */
export function repriceSteps(database: Store, writer: Writer): DoRepriceStep {
  if (!database.capabilities.hasOneWriter) return step => doRepriceStep(database, step)
  return async step => {
    const [applied] = await writer.apply([{ kind: 'reprice', step }])
    if (applied?.ok === false) throw new SteleError(applied.error.code, applied.error.details)
    const repriced = applied?.result.repriced
    if (repriced === undefined)
      throw new SteleError('store_unavailable', { reason: 'the writer gave no answer' })
    return repriced
  }
}
