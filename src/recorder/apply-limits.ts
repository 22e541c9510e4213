import type { StoredBatch } from '../db/batch.ts'
import { SteleError } from '../errors.ts'
import { type LimitBook, NotCounted } from '../limits/book.ts'
import { countCalls, countConfigured } from '../limits/count.ts'
import { type Decision, Ledger, Overtaken, type Refusal, Uncounted } from '../limits/ledger.ts'
import { toldRefusal } from '../limits/refusals.ts'
import type { CallStart } from '../model/call.ts'
import { type EventRow, eventRow } from '../store/audit-events.ts'
import { writeEvents } from '../store/audit-queue.ts'
import type { Contents, Store } from '../store/contents.ts'
import type { Begun } from './apply-begins.ts'
import type { Ending } from './apply-settles.ts'
import { type Applied, type Operation, type OperationResult, startsOf } from './operations.ts'

/** How often a batch is tried again that others were quicker than: each time one of them has got on. */
const mostAttempts = 100

interface Parts {
  readonly database: Store
  readonly limits: LimitBook
}

/** Does the work of a batch, and again when its limits had to be counted first or others were quicker. */
export async function withinLimits<R>({ database, limits }: Parts, work: () => Promise<R>): Promise<R> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (error instanceof NotCounted) await countConfigured(database, limits)
      else if (error instanceof Uncounted) await countCalls(database, limits.version, error.counters)
      else if (!(error instanceof Overtaken)) throw error
      if (attempt >= mostAttempts)
        throw new SteleError('record_rejected', { reason: 'its limits changed each time it was tried' })
    }
  }
}

/** What the limits say of a batch of operations. */
export interface Admission<O extends Operation> {
  /** Those that are applied. What calls have reserved is only left where a limit asks for it. */
  readonly admitted: readonly O[]
  /**
   * Counts what was done, as the last of the batch. Returns how all operations are answered for. @param answers for those that were
   * admitted
   */
  complete(answers: readonly Applied[], done: Done): Promise<Applied[]>
}

interface Done {
  readonly begun: ReadonlyMap<string, Begun>
  readonly endings: readonly Ending[]
  readonly settled: ReadonlyMap<string, OperationResult>
}

/** Lets in the operations whose calls are within the limits. Costs nothing but one look at whether there are any. */
export async function admit<O extends Operation>(
  stored: StoredBatch,
  { limits, contents }: { readonly limits: LimitBook; readonly contents: Contents },
  operations: readonly O[],
): Promise<Admission<O>> {
  if (limits.isEmpty) return { admitted: operations, complete: async answers => [...answers] }
  const ledger = new Ledger(stored, limits)
  const asking = operations.filter(operation => startsOf(operation).length > 0 && !isUnasked(operation))
  const unasked = new Set(
    operations
      .filter(isUnasked)
      .flatMap(startsOf)
      .map(({ callId }) => callId),
  )
  const wishes = asking.map(startsOf)
  const others = [...operations.filter(isUnasked).flatMap(startsOf), ...operations.flatMap(settledBy)]
  const decisions = await ledger.admit(wishes, others)
  const known = await knownAmong(stored, decisions)
  const refused = new Map<O, Applied>()
  const refusals: Refusal[] = []
  for (const [index, operation] of asking.entries()) {
    const decision = decisions[index]
    // What is on record already asks for nothing.
    if (decision === undefined || decision.kind === 'admitted') continue
    if (startsOf(operation).every(({ callId }) => known.has(callId))) continue
    if (decision.kind === 'unknown')
      refused.set(operation, {
        ok: true,
        result: { conversationId: undefined, isRepeat: false, wants: decision.wanted },
      })
    else {
      refused.set(operation, { ok: false, error: toldRefusal(decision.refusal, Date.now()) })
      refusals.push(decision.refusal)
    }
  }
  const admitted = operations.filter(operation => !refused.has(operation))
  return {
    admitted: admitted.map(operation => withoutUnused(operation, ledger)),
    async complete(answers, { begun, endings, settled }) {
      for (const start of admitted.flatMap(startsOf)) {
        const made = begun.get(start.callId)
        if (made?.isRepeat === false)
          ledger.begin(start, made.decision.reserved, { mustFit: !unasked.has(start.callId) })
      }
      for (const { call, settlement } of endings)
        if (settled.get(call.callId)?.isRepeat === false) ledger.end(call, settlement)
      await writeEvents(stored, contents, refusals.map(refusalRow))
      await ledger.write()
      const applied = answers.values()
      return operations.map(operation => {
        const answer = refused.get(operation) ?? applied.next().value
        if (answer === undefined) throw new Error('an operation gave no result')
        const starts = startsOf(operation)
        if (!answer.ok || starts.length === 0) return answer
        const standing = { limits: ledger.standingOf(starts), reserves: limits.reserves }
        return { ok: true, result: { ...answer.result, ...standing } }
      })
    },
  }
}

/** Calls that were made elsewhere, or while the database was away, are counted; whether they may be made is over. */
function isUnasked(operation: Operation): boolean {
  if (operation.kind === 'record')
    return operation.isAsked !== true || operation.isDrained === true || operation.isAcknowledged === true
  return operation.kind === 'begin' && operation.isDrained === true
}

function settledBy(operation: Operation) {
  if (operation.kind === 'settle') return [operation.call]
  return operation.kind === 'settle-all' ? operation.endings.map(({ call }) => call) : []
}

/** A call that no limit of tokens or money applies to holds nothing back, whatever it said that it may take. */
function withoutUnused<O extends Operation>(operation: O, ledger: Ledger): O {
  const plain = (start: CallStart): CallStart =>
    start.reservation === undefined || ledger.holdsBack(start) ? start : { ...start, reservation: undefined }
  if ('start' in operation) {
    const start = plain(operation.start)
    return start === operation.start ? operation : { ...operation, start }
  }
  return operation.kind === 'begin-all' ? { ...operation, starts: operation.starts.map(plain) } : operation
}

/** Of the calls that were not let in, those that are on record: they are told so, whatever the limits say now. */
async function knownAmong(stored: StoredBatch, decisions: readonly Decision[]): Promise<ReadonlySet<string>> {
  const refused = decisions.flatMap(decision => (decision.kind === 'refused' ? [decision.refusal.call] : []))
  if (refused.length === 0) return new Set()
  const keys = refused.map(({ userId, callId }) => ({ user_id: userId, id: callId }))
  const rows = await stored.find('llm_requests', ['user_id', 'id'], keys, ['id'])
  return new Set(rows.map(({ id }) => id))
}

function refusalRow(refusal: Refusal): EventRow {
  const { call } = refusal
  const now = Date.now()
  const { code, details } = toldRefusal(refusal, now)
  const { what, limit, used, requested } = details
  const { userId, callId: target, apiKeyId: by = 'library' } = call
  const said = { code, model: call.requestModel, what, limit, used, requested }
  const action = 'call.refused'
  return eventRow({ userId, by, action, target, outcome: 'denied', details: said }, now)
}
