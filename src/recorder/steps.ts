import { doAccessStep } from '../access/do-step.ts'
import { doUsageStep } from '../analytics/do-step.ts'
import { doEventsStep } from '../audit/events/do-step.ts'
import { doAuditStep } from '../audit/log/do-step.ts'
import { doCacheStep } from '../cache/do-step.ts'
import { doErasureStep } from '../erasure/do-step.ts'
import { SteleError } from '../errors.ts'
import { doRepriceStep } from '../pricing/reprice-step.ts'
import { doStep as doRetentionStep } from '../retention/do-step.ts'
import type { Store } from '../store/contents.ts'
import type { Operation } from './operations.ts'
import type { DoStepOf, StepKind, StepOperation, Steps } from './step-operations.ts'
import type { Writer } from './writer.ts'

const doers: {
  readonly [K in StepKind]: (database: Store, step: Steps[K][0]) => Promise<Steps[K][1]>
} = {
  retention: doRetentionStep,
  erasure: doErasureStep,
  access: doAccessStep,
  reprice: doRepriceStep,
  cache: doCacheStep,
  usage: doUsageStep,
  audit: doAuditStep,
  events: doEventsStep,
}

export function isStep(operation: Operation): operation is StepOperation {
  return Object.hasOwn(doers, operation.kind)
}

/** Does a step, in a transaction of its own. */
export function doStep<K extends StepKind>(
  database: Store,
  kind: K,
  step: Steps[K][0],
): Promise<Steps[K][1]> {
  return doers[kind](database, step)
}

/**
 * How steps of a kind are done: by the writer where there is one that all writing goes through, so that calls never wait for a
 * lock; elsewhere beside it, where a step that is held up holds up nobody.
 */
export function stepsOf<K extends StepKind>(kind: K, database: Store, writer: Writer): DoStepOf<K> {
  if (!database.capabilities.hasOneWriter) return step => doStep(database, kind, step)
  return async step => {
    const [applied] = await writer.apply([{ kind, step } as StepOperation])
    if (applied?.ok === false) throw new SteleError(applied.error.code, applied.error.details)
    const done = applied?.result.step
    if (done === undefined) throw new SteleError('store_unavailable', { reason: 'the writer gave no answer' })
    return done as Steps[K][1]
  }
}
