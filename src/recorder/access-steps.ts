import { doAccessStep } from '../access/do-step.ts'
import type { DoAccessStep } from '../access/steps.ts'
import { SteleError } from '../errors.ts'
import type { Store } from '../store/contents.ts'
import type { Writer } from './writer.ts'

/**
 * How what a login writes is written: by the writer where all writing goes through one, so that strangers who try to log in
 * do not have the thread that answers everybody wait for the disk; elsewhere beside it. The writer gets one after the
 * other: each is a commit of its own, and calls wait for no more than one of them, however many try to log in.
 */
export function accessSteps(database: Store, writer: Writer): DoAccessStep {
  if (!database.capabilities.hasOneWriter) return step => doAccessStep(database, step)
  let tail: Promise<unknown> = Promise.resolve()
  const write: DoAccessStep = async step => {
    const [applied] = await writer.apply([{ kind: 'access', step }])
    if (applied?.ok === false) throw new SteleError(applied.error.code, applied.error.details)
    const done = applied?.result.access
    if (done === undefined) throw new SteleError('store_unavailable', { reason: 'the writer gave no answer' })
    return done
  }
  return step => {
    const turn = tail.then(() => write(step))
    tail = turn.catch(() => undefined)
    return turn
  }
}
