import { SteleError } from '../errors.ts'
import type { CallStart } from '../model/call.ts'
import type { Applied, Operation, OperationResult } from './operations.ts'
import type { Spool, SpooledOperation } from './spool.ts'
import type { Writer } from './writer.ts'

export interface DrainStep {
  readonly drained: number
  readonly rejected: number
  /** Nothing waited. */
  readonly isEmpty: boolean
}

/** Told of every operation that the database has taken. */
export type Observe = (operation: Operation, result: OperationResult) => void

interface Work {
  readonly operation: Operation
  /** The entries that it does away with. */
  readonly seqs: readonly number[]
}

/** An operation as it goes into the spool: whoever asked for it is told that it is on record. */
export function drainable(operation: Operation): Operation {
  return operation.kind === 'settle' || operation.kind === 'record'
    ? { ...operation, isAcknowledged: true }
    : operation
}

/**
 * Applies the oldest entries of a spool to the database and takes them out. Dying at any point between the two is
 * harmless: operations are idempotent, and what is still in the spool is applied again.
 * @throws whatever keeps the database or the spool from working; then everything not applied is still in the spool
 */
export async function drainOnce(spool: Spool, writer: Writer, observe: Observe): Promise<DrainStep> {
  const entries = await spool.read()
  if (entries.length === 0) return { drained: 0, rejected: 0, isEmpty: true }
  const unreadable = entries.filter(({ operation }) => operation === undefined)
  for (const { seq } of unreadable) await spool.reject(seq, 'it cannot be read')

  const work = together(entries)
  const applied = await writer.apply(work.map(({ operation }) => operation))
  const done: number[] = []
  let rejected = unreadable.length
  for (const [index, { operation, seqs }] of work.entries()) {
    const outcome = await settleDoubt(writer, operation, applied[index])
    if (outcome?.ok === true) {
      observe(operation, outcome.result)
      done.push(...seqs)
    } else {
      for (const seq of seqs) await spool.reject(seq, reasonFor(outcome))
      rejected += seqs.length
    }
  }
  await spool.remove(done)
  return { drained: done.length, rejected, isEmpty: false }
}

/** A begin whose end waits too needs no writing of its own. */
function together(entries: readonly SpooledOperation[]): Work[] {
  const beginnings = new Map<string, number>()
  const ended = new Set<string>()
  for (const { operation } of entries) if (operation?.kind === 'record') ended.add(operation.start.callId)
  return entries.flatMap(({ seq, operation }): Work[] => {
    if (operation === undefined) return []
    if (operation.kind === 'begin' && ended.has(operation.start.callId)) {
      beginnings.set(operation.start.callId, seq)
      return []
    }
    const begun = operation.kind === 'record' ? beginnings.get(operation.start.callId) : undefined
    return [{ operation, seqs: begun === undefined ? [seq] : [begun, seq] }]
  })
}

/** A call that named a conversation which is not there (any more) is recorded in one of its own: it must not be lost. */
async function settleDoubt(
  writer: Writer,
  operation: Operation,
  applied: Applied | undefined,
): Promise<Applied | undefined> {
  if (applied?.ok !== false || applied.error.code !== 'conversation_not_found') return applied
  if (!('start' in operation)) return applied
  const start: CallStart = { ...operation.start, conversationId: undefined }
  const [again] = await writer.apply([{ ...operation, start }])
  return again
}

function reasonFor(applied: Applied | undefined): string {
  if (applied?.ok !== false) return 'the database gave no answer'
  const { code, details } = applied.error
  return `${code}: ${new SteleError(code, details).message}`
}
