import type { DoAccessStep } from '../access/steps.ts'
import type { Store } from '../store/contents.ts'
import { stepsOf } from './steps.ts'
import type { Writer } from './writer.ts'

/**
 * How what a login writes is written: as steps are, so that strangers who try to log in do not have the thread that answers
 * everybody wait for the disk. The writer gets one after the other: each is a commit of its own, and calls wait for no more
 * than one of them, however many try to log in.
 */
export function accessSteps(database: Store, writer: Writer): DoAccessStep {
  const doStep = stepsOf('access', database, writer)
  if (!database.capabilities.hasOneWriter) return doStep
  let tail: Promise<unknown> = Promise.resolve()
  return step => {
    const turn = tail.then(() => doStep(step))
    tail = turn.catch(() => undefined)
    return turn
  }
}
