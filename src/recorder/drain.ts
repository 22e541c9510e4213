import { SteleError } from '../errors.ts'
import { begunCall, type CallStart, type PlacedCall } from '../model/call.ts'
import type { Applied, HeartbeatOperation, Operation, OperationResult } from './operations.ts'
import { type Spool, type SpooledOperation, SpoolFailure } from './spool.ts'
import type { Writer } from './writer.ts'

export interface DrainStep {
  readonly drained: number
  readonly rejected: number
  /** Nothing waited. */
  readonly isEmpty: boolean
}

/**
 * Calls that were begun in a spool and whose end has not been drained: with all of their request as long as the database
 * has not decided where they belong, then only with what ending them takes.
 */
export type SpooledCalls = Map<string, { readonly start: CallStart } | { readonly call: PlacedCall }>

interface Work {
  readonly operation: Operation
  /** The entries that it does away with. */
  readonly seqs: readonly number[]
}

/** An operation as it goes into the spool: whoever asked for it is told that it is on record. */
export function drainable(operation: Operation): Operation {
  return isEndOfCalls(operation) ? { ...operation, isAcknowledged: true } : operation
}

function isEndOfCalls(
  operation: Operation,
): operation is Extract<Operation, { kind: 'settle' | 'record' | 'settle-all' }> {
  return operation.kind === 'settle' || operation.kind === 'record' || operation.kind === 'settle-all'
}

export interface DrainParts {
  readonly spool: Spool
  readonly writer: Writer
  readonly calls: SpooledCalls
  /** What makes the processes known that began these calls: whoever finds them open must find by whom. */
  readonly presence: (begins: readonly CallStart[]) => HeartbeatOperation[]
}

/** How many entries are applied together: enough for a commit to be cheap. */
const mostEntries = 256

/** Empties a spool step by step. A step that fails is tried again with half as many entries: too many are one reason. */
export class Drain {
  readonly #parts: DrainParts
  #count = mostEntries

  constructor(parts: DrainParts) {
    this.#parts = parts
  }

  /**
   * Applies the oldest entries to the database and takes them out. Dying at any point between the two is harmless:
   * operations are idempotent, and what is still in the spool is applied again.
   * @throws SpoolFailure, SpoolInUse, or whatever keeps the database from working; then what was not applied is still there
   */
  async step(): Promise<DrainStep> {
    try {
      const step = await drainOnce(this.#parts, this.#count)
      this.#count = Math.min(this.#count * 2, mostEntries)
      return step
    } catch (error) {
      if (!(error instanceof SpoolFailure)) this.#count = Math.max(1, Math.floor(this.#count / 2))
      throw error
    }
  }
}

async function drainOnce({ spool, writer, calls, presence }: DrainParts, count: number): Promise<DrainStep> {
  const entries = await spool.read(count)
  if (entries.length === 0) return { drained: 0, rejected: 0, isEmpty: true }
  const unreadable = entries.filter(({ operation }) => operation === undefined)
  for (const { seq } of unreadable) await spool.reject(seq, 'it cannot be read')

  const ended = together(entries, calls)
  const begins = ended.flatMap(({ operation }) => (operation.kind === 'begin' ? [operation.start] : []))
  const known = presence(begins).map((operation): Work => ({ operation, seqs: [] }))
  const work = [...known, ...ended]
  const applied = await writer.apply(work.map(({ operation }) => drained(operation)))
  const done: number[] = []
  let rejected = unreadable.length
  for (const [index, { operation, seqs }] of work.entries()) {
    const outcome = await withoutName(writer, operation, applied[index])
    if (outcome?.ok === true) {
      note(operation, outcome.result, calls)
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
function together(entries: readonly SpooledOperation[], calls: SpooledCalls): Work[] {
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
    if (begun !== undefined) return [{ operation, seqs: [begun, seq] }]
    return [{ operation: withoutBegin(operation, calls), seqs: [seq] }]
  })
}

/** The end of a call alone, when its begin has been drained already. */
function withoutBegin(operation: Operation, calls: SpooledCalls): Operation {
  if (operation.kind !== 'record') return operation
  const { start, settlement } = operation
  const known = calls.get(start.callId)
  if (known === undefined || !('call' in known)) return operation
  return { kind: 'settle', call: known.call, settlement, isAcknowledged: true }
}

function drained(operation: Operation): Operation {
  return operation.kind === 'begin' || isEndOfCalls(operation) ? { ...operation, isDrained: true } : operation
}

function note(operation: Operation, { decision }: OperationResult, calls: SpooledCalls): void {
  if (operation.kind === 'begin' && decision !== undefined)
    calls.set(operation.start.callId, { call: begunCall(operation.start, decision) })
  else if (operation.kind === 'settle') calls.delete(operation.call.callId)
  else if (operation.kind === 'record') calls.delete(operation.start.callId)
}

/** A call that is on record for its caller must not be lost because the conversation that it names is not there (any more). */
async function withoutName(
  writer: Writer,
  operation: Operation,
  applied: Applied | undefined,
): Promise<Applied | undefined> {
  if (applied?.ok !== false || !('start' in operation) || applied.error.code !== 'conversation_not_found')
    return applied
  const [again] = await writer.apply([
    drained({ ...operation, start: { ...operation.start, conversationId: undefined } }),
  ])
  return again
}

function reasonFor(applied: Applied | undefined): string {
  if (applied?.ok !== false) return 'the database gave no answer'
  const { code, details } = applied.error
  return `${code}: ${new SteleError(code, details).message}`
}
