import { type Kysely, sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { addEvents, type EventRow, eventRow } from '../store/audit-events.ts'
import { absentStored, type Store } from '../store/contents.ts'
import { forgetProgress, waitForIndexers } from '../store/search-queue.ts'
import { type RemovedTable, removedTables } from './plan.ts'
import type { ErasureCounts, ErasureRequest, ErasureStep, ErasureStepResult } from './steps.ts'

/** Rows changed in one transaction, which bounds how long those who record wait for it. */
const rowsAtATime = 500
const callsAtATime = 250
const conversationsAtATime = 100

/** How often a step that loses a race is tried again. */
const tries = 5

/**
 * Does a step of an erasure in one transaction, so that it can end between any two and be begun again: each takes what it
 * finds. While a user is being erased nothing with content is written for them, so what a step has taken stays gone.
 */
export async function doErasureStep(database: Store, step: ErasureStep): Promise<ErasureStepResult> {
  if (step.kind === 'scrub') {
    const outcome = await database.scrub()
    return { counts: {}, isMore: outcome === 'busy', isLeft: outcome === 'left' }
  }
  for (let attempt = 1; ; attempt++) {
    try {
      return await database.overwriting(async tx => {
        await database.permit(tx, 'erasure')
        return work(tx, database, step)
      })
    } catch (error) {
      if (attempt >= tries || database.classify(error) !== 'contended') throw error
    }
  }
}

function work(
  tx: Kysely<Tables>,
  database: Store,
  step: Exclude<ErasureStep, { kind: 'scrub' }>,
): Promise<ErasureStepResult> {
  switch (step.kind) {
    case 'begin':
      return begin(tx, database, step.request, step.at)
    case 'conversations':
      return removeConversations(tx, database, step.userId)
    case 'calls':
      return blankCalls(tx, step.userId, step.after)
    case 'rows':
      return removeRows(tx, step.table, step.userId)
    case 'finish':
      return finish(tx, database, step.request, step.counts, step.at)
  }
}

/**
 * The keys first: batches of a user hold the current one until they commit, so whoever writes has done so before or finds
 * it gone. A key made meanwhile by a first call is found by the second look, behind the lock of the user's row.
 */
async function begin(
  tx: Kysely<Tables>,
  { forUpdate, contents }: Store,
  request: ErasureRequest,
  at: number,
): Promise<ErasureStepResult> {
  const { userId } = request
  const keys = () =>
    tx.selectFrom('data_keys').select('id').where('user_id', '=', userId).modifyEnd(forUpdate).execute()
  await keys()
  const user = await tx
    .selectFrom('users')
    .select(['status', 'erased_at'])
    .where('id', '=', userId)
    .modifyEnd(forUpdate)
    .executeTakeFirst()
  if (user === undefined) throw new SteleError('user_not_found', { user: userId })
  await keys()
  const destroyed = await tx
    .updateTable('data_keys')
    .set({ wrapped_key: null, destroyed_at: at })
    .where('user_id', '=', userId)
    .where('destroyed_at', 'is', null)
    .executeTakeFirst()
  const erasedAt = user.status === 'erasing' ? (user.erased_at ?? at) : at
  await blankUser(tx, userId, 'erasing', erasedAt)
  const apiKeys = await tx
    .updateTable('api_keys')
    .set({
      revoked_at: sql<number>`coalesce(revoked_at, ${at})`,
      name: '',
      previous_hash: null,
      previous_expires_at: null,
    })
    .where('user_id', '=', userId)
    .where(eb =>
      eb.or([eb('revoked_at', 'is', null), eb('name', '<>', ''), eb('previous_hash', 'is not', null)]),
    )
    .executeTakeFirst()
  await addEvents(tx, contents, eventOf(request, 'user.erasure_begun', {}, at))
  const counts = { data_keys: count(destroyed.numUpdatedRows), api_keys: count(apiKeys.numUpdatedRows) }
  return { counts, isMore: true, erasedAt }
}

async function blankUser(
  tx: Kysely<Tables>,
  userId: string,
  status: 'erasing' | 'erased',
  erasedAt?: number,
): Promise<void> {
  await tx
    .updateTable('users')
    .set({
      email: null,
      username: null,
      preferences: null,
      content_mode: null,
      role: 'member',
      status,
      ...(erasedAt === undefined ? {} : { erased_at: erasedAt }),
    })
    .where('id', '=', userId)
    .execute()
}

async function removeConversations(
  tx: Kysely<Tables>,
  database: Database,
  userId: string,
): Promise<ErasureStepResult> {
  const conversations = await tx
    .selectFrom('conversations')
    .select('id')
    .where('user_id', '=', userId)
    .orderBy('id')
    .limit(conversationsAtATime)
    .modifyEnd(database.forUpdate)
    .execute()
  let messages = 0
  let removed = 0
  for (const { id } of conversations) {
    const room = rowsAtATime - messages
    if (room <= 0) break
    const found = await removeMessages(tx, database, userId, id, room)
    messages += found
    if (found === room) break
    await removeConversation(tx, database, userId, id)
    removed++
  }
  return { counts: { messages, conversations: removed }, isMore: conversations.length > 0 }
}

/** Removes the first messages of a conversation. Returns how many there were, at most `room`. */
async function removeMessages(
  tx: Kysely<Tables>,
  database: Database,
  userId: string,
  conversationId: string,
  room: number,
): Promise<number> {
  // Where there is one writer, nobody else is half-way through anything.
  if (!database.capabilities.hasOneWriter) await waitForIndexers(tx, { userId, conversationId })
  const rows = await tx
    .selectFrom('messages')
    .select('seq')
    .where('conversation_id', '=', conversationId)
    .where('user_id', '=', userId)
    .orderBy('seq')
    .limit(room)
    .execute()
  if (rows.length === 0) return 0
  const seqs = rows.map(({ seq }) => seq)
  await tx
    .deleteFrom('messages')
    .where('conversation_id', '=', conversationId)
    .where('user_id', '=', userId)
    .where('seq', 'in', seqs)
    .execute()
  await database.unindex(tx, { userId, conversationId, seqs })
  return rows.length
}

async function removeConversation(
  tx: Kysely<Tables>,
  database: Database,
  userId: string,
  conversationId: string,
): Promise<void> {
  await database.unindex(tx, { userId, conversationId })
  await forgetProgress(tx, { userId, conversationId })
  await tx
    .deleteFrom('context_snapshots')
    .where('conversation_id', '=', conversationId)
    .where('user_id', '=', userId)
    .execute()
  await tx
    .deleteFrom('conversations')
    .where('id', '=', conversationId)
    .where('user_id', '=', userId)
    .execute()
}

/** What calls took and cost stays; what was asked and answered goes, and the hash by which a prompt could be guessed. */
async function blankCalls(tx: Kysely<Tables>, userId: string, after: string): Promise<ErasureStepResult> {
  const calls = await tx
    .selectFrom('llm_requests')
    .select('id')
    .where('user_id', '=', userId)
    .where('id', '>', after)
    .orderBy('id')
    .limit(callsAtATime)
    .execute()
  const last = calls.at(-1)?.id
  if (last === undefined) return { counts: {}, isMore: false }
  const ids = calls.map(({ id }) => id)
  const body = absentStored()
  const blanked = await tx
    .updateTable('llm_requests')
    .set({ params: null, messages_at: null, separator: null, body, sent: null, prompt_hash: '' })
    .where('id', 'in', ids)
    .where('user_id', '=', userId)
    .where('prompt_hash', '<>', '')
    .executeTakeFirst()
  await tx
    .updateTable('llm_responses')
    .set({ content_at: null, error_message: null, provider_response_id: null })
    .where('request_id', 'in', ids)
    .where('user_id', '=', userId)
    .execute()
  await tx
    .updateTable('llm_responses')
    .set({ body })
    .where('request_id', 'in', ids)
    .where('user_id', '=', userId)
    .where('body', 'is not', null)
    .execute()
  return { counts: { llm_requests: count(blanked.numUpdatedRows) }, isMore: true, last }
}

async function removeRows(
  tx: Kysely<Tables>,
  table: RemovedTable,
  userId: string,
): Promise<ErasureStepResult> {
  const names = { table: sql.table(table), key: sql.ref(removedTables[table]) }
  const { numAffectedRows = 0n } = await sql`
    DELETE FROM ${names.table} WHERE user_id = ${userId} AND ${names.key} IN (
      SELECT ${names.key} FROM ${names.table} WHERE user_id = ${userId} ORDER BY ${names.key} LIMIT ${rowsAtATime})`.execute(
    tx,
  )
  const removed = count(numAffectedRows)
  return { counts: { [table]: removed }, isMore: removed === rowsAtATime }
}

async function finish(
  tx: Kysely<Tables>,
  { contents }: Store,
  request: ErasureRequest,
  counts: ErasureCounts,
  at: number,
): Promise<ErasureStepResult> {
  const { userId } = request
  await tx
    .deleteFrom('login_attempts')
    .where(eb =>
      eb.or([
        eb('subject', '=', `user:${userId}`),
        sql<boolean>`substr(subject, 1, 6) = 'known:' AND substr(subject, length(subject) - length(CAST(${userId} AS TEXT))) = ${`:${userId}`}`,
      ]),
    )
    .execute()
  await tx
    .updateTable('break_glass_grants')
    .set({ revoked_at: at })
    .where('holder', '=', userId)
    .where('revoked_at', 'is', null)
    .execute()
  await blankUser(tx, userId, 'erased')
  await addEvents(tx, contents, eventOf(request, 'user.erased', counts, at))
  return { counts: {}, isMore: false }
}

function eventOf(
  { userId, actor, reason }: ErasureRequest,
  action: 'user.erasure_begun' | 'user.erased',
  counts: ErasureCounts,
  at: number,
): EventRow {
  const details = { ...(reason === undefined ? {} : { reason }), ...counts }
  return eventRow({ userId, by: actor, action, target: userId, details }, at)
}

function count(rows: bigint): number {
  return Number(rows)
}
