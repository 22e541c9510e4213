import type { Batch } from '../db/batch.ts'
import { SteleError } from '../errors.ts'
import type { LimitBook } from '../limits/book.ts'
import type { BegunCall, CallStart, PlacedCall } from '../model/call.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { quietReasonOf } from '../quiet-error.ts'
import { eventRow } from '../store/audit-events.ts'
import { writeEvents } from '../store/audit-queue.ts'
import type { Store } from '../store/contents.ts'
import { openSealing } from '../store/sealed-batch.ts'
import type { SearchTokens } from '../store/search-keys.ts'
import { queueForSearch } from '../store/search-queue.ts'
import { newUserRow } from '../store/users.ts'
import { applyAppends } from './apply-appends.ts'
import { applyBegins } from './apply-begins.ts'
import { applyChoice } from './apply-choice.ts'
import { changeDocument } from './apply-documents.ts'
import { applyEdits } from './apply-edits.ts'
import { applyIndex, queueDrained } from './apply-index.ts'
import { admit, withinLimits } from './apply-limits.ts'
import { applyReseal } from './apply-reseal.ts'
import { changeResponse } from './apply-responses.ts'
import { applySettles, type Ending } from './apply-settles.ts'
import { withoutErased } from './erased.ts'
import { applyRelist } from './listed.ts'
import {
  type AppendOperation,
  type Applied,
  type HeartbeatOperation,
  type Operation,
  type OperationResult,
  type SettleAllOperation,
  startsOf,
} from './operations.ts'
import { NeedsCare } from './place-replies.ts'
import { describe } from './refusal.ts'
import type { StepOperation } from './step-operations.ts'
import { doStep, isStep } from './steps.ts'

type RecordOperation = Exclude<Operation, StepOperation>

export interface ApplyContext {
  readonly database: Store
  readonly hashes: ConversationHashes
  readonly tokens: SearchTokens
  readonly limits: LimitBook
  /** Users that are known to have a row. */
  readonly knownUsers: Set<string>
}

/** Beyond this the set of known users is emptied: looking a user up again costs little. */
const maxKnownUsers = 100_000

/** How often an operation that is applied on its own is tried again when it loses a race. */
const contentionRetries = 5

/**
 * Applies a batch durably and answers for each operation. Steps of retention, of erasures, of logins, of prices and of the cache follow,
 * each on its own: calls do not wait in one transaction with them, and a step that fails fails alone.
 * @throws the database's own error when the database is unavailable: then nothing is known to be written
 */
export async function applyBatch(
  context: ApplyContext,
  operations: readonly Operation[],
): Promise<Applied[]> {
  const calls = operations.filter(operation => !isStep(operation))
  const applied = calls.length === 0 ? [] : await applyCalls(context, calls)
  if (calls.length === operations.length) return applied
  const answers: Applied[] = []
  for (const operation of operations) {
    const answer = isStep(operation) ? await applyStep(context, operation) : applied.shift()
    answers.push(required(answer))
  }
  return answers
}

async function applyStep({ database }: ApplyContext, operation: StepOperation): Promise<Applied> {
  try {
    const step = await doStep(database, operation.kind, operation.step)
    return done({ conversationId: undefined, isRepeat: false, step })
  } catch (error) {
    const isKnown = error instanceof SteleError || database.classify(error) !== 'unavailable'
    const reason = quietReasonOf(error)
    return {
      ok: false,
      error: isKnown ? describe(error) : { code: 'store_unavailable', details: { reason } },
    }
  }
}

/**
 * Applies operations on calls and answers for each operation. If the batch fails, its operations are applied one by one,
 * so that a bad one fails alone.
 */
async function applyCalls(context: ApplyContext, operations: readonly RecordOperation[]): Promise<Applied[]> {
  try {
    const applied = await withinLimits(context, () => inTransaction(context, operations, false))
    rememberUsers(context.knownUsers, operations)
    forgetModes(context, operations)
    return applied
  } catch (error) {
    if (!(error instanceof NeedsCare) && context.database.classify(error) === 'unavailable') throw error
  }
  const applied: Applied[] = []
  for (const operation of operations) applied.push(await applyAlone(context, operation))
  return applied
}

async function applyAlone(context: ApplyContext, operation: RecordOperation): Promise<Applied> {
  for (let attempt = 0; ; attempt++) {
    try {
      const [applied] = await withinLimits(context, () => inTransaction(context, [operation], true))
      forgetModes(context, [operation])
      return required(applied)
    } catch (error) {
      const kind = context.database.classify(error)
      if (kind === 'unavailable') throw error
      // Another process may have written the same between the look and the writing: the next look finds it.
      const mayHaveRaced = !(error instanceof SteleError) && attempt === 0
      if (kind === 'rejected' && !mayHaveRaced) {
        if (error instanceof SteleError && error.code === 'user_erasing')
          await noteRefused(context, operation)
        return { ok: false, error: describe(error) }
      }
      // Nothing is wrong with it, so it is not refused: whoever holds what it needs will let go.
      if (attempt >= contentionRetries) throw error
    }
  }
}

/** A call of somebody who is being erased is not let in: that is on record, without a word of it. */
async function noteRefused({ database }: ApplyContext, operation: RecordOperation): Promise<void> {
  const events = startsOf(operation).map(
    ({ userId, callId: target, apiKeyId: by = 'library', requestModel }) => {
      const details = { code: 'user_erasing', model: requestModel }
      const about = { userId, by, action: 'call.refused', target, outcome: 'denied' } as const
      return eventRow({ ...about, details }, Date.now())
    },
  )
  await database.batch(stored => writeEvents(stored, database.contents, events))
}

function inTransaction(
  context: ApplyContext,
  given: readonly RecordOperation[],
  careful: boolean,
): Promise<Applied[]> {
  return context.database.batch(async stored => {
    const { hashes, database, limits } = context
    const [sealing] = await Promise.all([
      openSealing(database.contents, stored, given.flatMap(usersOf)),
      limits.refresh(stored),
    ])
    const asked = await withoutErased(stored, given, sealing.keyedAt)
    const admission = await admit(stored, { limits, contents: database.contents }, asked)
    const operations = admission.admitted
    const starts = operations.flatMap(startsOf)
    const comers = newcomers(operations)
    const batch = await sealing.batch(writersOf(comers), operations.flatMap(apiKeysOf))
    await addUsers(batch, context.knownUsers, comers)
    const begun = await applyBegins(batch, starts, { careful })
    const endings = operations.flatMap((operation): Ending[] => {
      if (operation.kind === 'settle-all') {
        const { isAcknowledged } = operation
        return operation.endings.map(ending => ({ ...ending, isAcknowledged }))
      }
      if (operation.kind !== 'settle' && operation.kind !== 'record') return []
      const { settlement, isAcknowledged } = operation
      const call =
        operation.kind === 'settle'
          ? placed(operation.call)
          : required(begun.get(operation.start.callId)).call
      return [{ call, settlement, isAcknowledged }]
    })
    const settled = await applySettles(batch, endings, { hashes, careful })
    // Behind the replies: a call's place is the one right after its request.
    const others = new Map<Operation, Applied>([
      ...(await applyAppends(batch, appendsOf(operations), hashes)),
      ...(await applyEdits(batch, operations)),
    ])
    for (const operation of operations) {
      const result = await applyOther(batch, operation, context)
      if (result !== undefined) others.set(operation, done(result))
    }
    const answers = operations.map((operation): Applied => {
      if (operation.kind === 'settle') return done(required(settled.get(operation.call.callId)))
      if (operation.kind === 'settle-all') return done(resultOfAll(operation, settled))
      if (operation.kind === 'begin-all') {
        const decisions = operation.starts.map(({ callId }) => required(begun.get(callId)).decision)
        return done({ conversationId: decisions[0]?.conversationId, isRepeat: false, decisions })
      }
      if (!('start' in operation)) return required(others.get(operation))
      const { callId } = operation.start
      if (operation.kind === 'record') return done(required(settled.get(callId)))
      const { decision, isRepeat, isOwn } = required(begun.get(callId))
      return done({ conversationId: decision.conversationId, isRepeat, isOwn, decision })
    })
    await queueDrained(batch, operations, answers)
    // Last, so that counters, which everybody needs, are locked only for the commit.
    return admission.complete(answers, { begun, endings, settled })
  })
}

/** What became of the one whose reply is in the conversation; of the first when there is none. */
function resultOfAll(
  { endings }: SettleAllOperation,
  settled: ReadonlyMap<string, OperationResult>,
): OperationResult {
  const told = endings.find(({ settlement }) => settlement.message !== undefined) ?? endings[0]
  return required(settled.get(told?.call.callId ?? ''))
}

function done(result: OperationResult): Applied {
  return { ok: true, result }
}

function appendsOf(operations: readonly Operation[]): AppendOperation[] {
  return operations.filter(operation => operation.kind === 'append')
}

type Newcomer = Pick<CallStart, 'userId' | 'createdAt'> & Partial<Pick<CallStart, 'request'>>

/** Whose first call or conversation it may be. */
function newcomers(operations: readonly Operation[]): Newcomer[] {
  return operations.flatMap((operation): Newcomer[] => {
    if (operation.kind === 'append') return operation.creation === undefined ? [] : [operation]
    return [...startsOf(operation)]
  })
}

/** Whose content is surely written. */
function writersOf(comers: readonly Newcomer[]): string[] {
  return comers.flatMap(({ userId, request }) => (request?.keepsContent === false ? [] : userId))
}

const keyChanges: ReadonlySet<string> = new Set(['destroy-keys', 'retire-key', 'destroy-retired'])

/** Whose content an operation may write. */
function usersOf(operation: RecordOperation): readonly string[] {
  switch (operation.kind) {
    case 'settle':
      return [operation.call.userId]
    case 'settle-all':
      return operation.endings.map(({ call }) => call.userId)
    case 'edit':
      // Whoever destroys a key must not hold it with others.
      return keyChanges.has(operation.edit.action) ? [] : [operation.edit.userId]
    case 'append':
    case 'choose':
    case 'respond':
    case 'document':
    case 'relist':
    case 'reseal':
      return [operation.userId]
    case 'heartbeat':
    case 'index':
      return []
    default:
      return startsOf(operation).map(({ userId }) => userId)
  }
}

/** The API keys with which an operation's calls are made, or what it says is said. */
function apiKeysOf(operation: RecordOperation): string[] {
  if (operation.kind === 'append' || operation.kind === 'relist')
    return operation.apiKeyId === undefined ? [] : [operation.apiKeyId]
  if (operation.kind === 'edit') return operation.edit.apiKeyId === undefined ? [] : [operation.edit.apiKeyId]
  const calls =
    operation.kind === 'settle'
      ? [operation.call]
      : operation.kind === 'settle-all'
        ? operation.endings.map(({ call }) => call)
        : operation.kind === 'choose'
          ? [operation.chosen].filter(chosen => chosen !== undefined)
          : startsOf(operation)
  return calls.flatMap(({ apiKeyId }) => apiKeyId ?? [])
}

/** What is neither a call nor an addition to a conversation; undefined of those. */
async function applyOther(
  batch: Batch,
  operation: Operation,
  { database, tokens, hashes }: ApplyContext,
): Promise<OperationResult | undefined> {
  const nothing = { conversationId: undefined, isRepeat: false }
  switch (operation.kind) {
    case 'heartbeat':
      await applyHeartbeat(batch, operation)
      return nothing
    case 'relist':
      await applyRelist(batch, operation)
      return nothing
    case 'choose':
      return applyChoice(batch, operation, hashes)
    case 'respond':
      return changeResponse(batch, operation)
    case 'document':
      return changeDocument(batch, operation)
    case 'reseal':
      return applyReseal(batch, operation)
    case 'index':
      return applyIndex(batch, operation, { ...database.capabilities, tokens })
    case 'postpone':
      await queueForSearch(batch, operation.conversations)
      return nothing
    default:
      return undefined
  }
}

/** Applications name their users as they like; a user's first call makes the row. */
async function addUsers(
  batch: Batch,
  known: ReadonlySet<string>,
  starts: readonly Newcomer[],
): Promise<void> {
  const unknown = new Set(starts.map(start => start.userId).filter(id => !known.has(id)))
  if (unknown.size === 0) return
  const createdAt = starts[0]?.createdAt ?? 0
  await batch.insertAbsent(
    'users',
    [...unknown].sort().map(id => newUserRow(id, createdAt)),
  )
}

function rememberUsers(known: Set<string>, operations: readonly RecordOperation[]): void {
  if (known.size > maxKnownUsers) known.clear()
  for (const { userId } of newcomers(operations)) known.add(userId)
}

/** What this process has changed it need not learn by and by. */
function forgetModes({ database }: ApplyContext, operations: readonly RecordOperation[]): void {
  for (const operation of operations)
    if (operation.kind === 'edit' && operation.edit.action === 'update-user')
      database.contents.modes.forget(operation.edit.userId)
}

async function applyHeartbeat(
  batch: Batch,
  { instance, usedKeys, onlyIfAbsent }: HeartbeatOperation,
): Promise<void> {
  const { id, heartbeat_at, open_since } = instance
  // The row is gone when another process took this one for dead; it must be found again if this one dies for real.
  await batch.insertAbsent('instances', [instance])
  if (onlyIfAbsent === true) return
  await batch.update(
    'instances',
    ['heartbeat_at', 'open_since'],
    ['id'],
    [{ set: { heartbeat_at, open_since }, match: { id } }],
  )
  const touched = usedKeys.map(key => ({ set: { last_used_at: key.at }, match: { id: key.id } }))
  await batch.update('api_keys', ['last_used_at'], ['id'], touched)
}

/** A call whose begin waits in a spool can only be settled through that spool. */
function placed(call: BegunCall): PlacedCall {
  const { conversationId } = call
  if (conversationId === undefined)
    throw new SteleError('record_rejected', { reason: 'the beginning of this call is not on record yet' })
  return { ...call, conversationId }
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('an operation gave no result')
  return value
}
