import { type Kysely, type RawBuilder, sql } from 'kysely'
import { addLeaving } from '../analytics/roll-up.ts'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { documentIdOf, responseIdOf } from '../ids.ts'
import { addEvents, purgedEvents } from '../store/audit-events.ts'
import { absentStored, type Store } from '../store/contents.ts'
import { forgetProgress, waitForIndexers } from '../store/search-queue.ts'
import { brokenIn, type ConversationPlan, planConversation } from './plan-conversation.ts'
import { conversationFacts, forksOf, type Key, readings } from './read-facts.ts'
import type { RetentionStep, RetentionStepResult } from './steps.ts'
import { Tallies } from './tally.ts'

/**
 * Messages changed in one transaction, and the milliseconds after which it takes on no further conversation: both bound how
 * long those who record wait for it.
 */
const mostMessages = 500
const longestStep = 5

/** Of a long conversation at least one in so many: every step on it reads all of it, and so there are no more of them. */
const shareOfMessages = 8

const nothing: RetentionStepResult = {
  tallies: [],
  done: 0,
  reclaimed: { freed: 0, left: 0 },
  isMore: false,
}

/**
 * Does a step of a run in one transaction. What is to go of a conversation is decided from rows that the same transaction
 * reads, and a call that has expired stays so: a step may come late, be repeated, or be done by two at once.
 */
export async function doStep(database: Store, step: RetentionStep): Promise<RetentionStepResult> {
  if (step.kind === 'reclaim') return { ...nothing, reclaimed: await database.reclaim() }
  if (step.kind === 'forget-words') return { ...nothing, isMore: await database.forgetWords(step.isFirst) }
  return database.kysely.transaction().execute(async tx => {
    await database.permit(tx, 'retention')
    switch (step.kind) {
      case 'conversations': {
        const result = await doConversations(tx, step, database)
        if (result.tallies.length > 0) await announce(tx, database, step)
        return result
      }
      case 'calls':
        await announce(tx, database, step)
        await removeCalls(tx, step.removed, database.forUpdate)
        await clearCalls(tx, step.cleared)
        return nothing
      case 'keys':
        if (step.keys.length > 0)
          await tx
            .deleteFrom('idempotency_keys')
            .where(isAnyOf(['user_id', 'key_hash'], step.keys))
            .execute()
        return nothing
      case 'note':
        await addEvents(tx, database.contents, step.event)
        return nothing
    }
  })
}

async function announce(
  tx: Kysely<Tables>,
  { contents }: Store,
  { announcement }: Extract<RetentionStep, { kind: 'calls' | 'conversations' }>,
): Promise<void> {
  if (announcement !== undefined) await addEvents(tx, contents, announcement)
}

async function removeCalls(
  tx: Kysely<Tables>,
  calls: readonly Key[],
  lock: Database['forUpdate'],
): Promise<void> {
  if (calls.length === 0) return
  // What they took and cost stays in the sums.
  await addLeaving(
    tx,
    lock,
    calls.map(({ user_id, id }) => ({ user_id, call_id: id })),
  )
  const replies = calls.map(({ user_id, id }) => ({ user_id, request_id: id }))
  await tx
    .deleteFrom('llm_responses')
    .where(isAnyOf(['request_id', 'user_id'], replies))
    .execute()
  await tx
    .deleteFrom('llm_requests')
    .where(isAnyOf(['id', 'user_id'], calls))
    .execute()
  await tx.deleteFrom('responses').where(areOf(calls, responseIdOf)).execute()
  await tx.deleteFrom('documents').where(areOf(calls, documentIdOf)).execute()
  await removeListed(tx, calls)
}

/** A completion that cannot be told any more is on no list, and is given to nobody again. */
async function removeListed(tx: Kysely<Tables>, calls: readonly Key[]): Promise<void> {
  const listed = calls.map(({ user_id, id }) => ({ user_id, call_id: id }))
  for (const table of ['stored_completions', 'cache_entries'] as const)
    await tx
      .deleteFrom(table)
      .where(isAnyOf(['user_id', 'call_id'], listed))
      .execute()
}

/** The responses, or documents, of calls: each has the name of its first one. */
function areOf(calls: readonly Key[], nameOf: (callId: string) => string): RawBuilder<boolean> {
  return isAnyOf(
    ['id', 'user_id'],
    calls.map(({ user_id, id }) => ({ user_id, id: nameOf(id) })),
  )
}

/** Takes what was said from calls, and the provider's own words about it; what they took and cost stays. */
async function clearCalls(tx: Kysely<Tables>, calls: readonly Key[]): Promise<void> {
  if (calls.length === 0) return
  const body = absentStored()
  await tx
    .updateTable('llm_requests')
    .set({ params: null, messages_at: null, separator: null, body, sent: null })
    .where(isAnyOf(['id', 'user_id'], calls))
    .execute()
  const replies = calls.map(({ user_id, id }) => ({ user_id, request_id: id }))
  await tx
    .updateTable('llm_responses')
    .set({ body, content_at: null })
    .where(isAnyOf(['request_id', 'user_id'], replies))
    .where('body', 'is not', null)
    .execute()
  await tx
    .updateTable('llm_responses')
    .set({ error_message: null })
    .where(isAnyOf(['request_id', 'user_id'], replies))
    .where('error_message', 'is not', null)
    .execute()
  await tx
    .updateTable('responses')
    .set({ input: body, body, metadata: null })
    .where(areOf(calls, responseIdOf))
    .execute()
  const documents = areOf(calls, documentIdOf)
  await tx.updateTable('documents').set({ input: body, error_message: null }).where(documents).execute()
  await tx
    .updateTable('documents')
    .set({ output: body })
    .where(documents)
    .where('output', 'is not', null)
    .execute()
  await removeListed(tx, calls)
}

async function doConversations(
  tx: Kysely<Tables>,
  { due, now }: Extract<RetentionStep, { kind: 'conversations' }>,
  database: Store,
): Promise<RetentionStepResult> {
  const lock = database.forUpdate
  const tallies = new Tallies()
  const startedAt = performance.now()
  let room = mostMessages
  let done = 0
  for (const conversation of due) {
    if (room <= 0 || (done > 0 && performance.now() - startedAt > longestStep)) break
    const { cutoffs } = conversation
    const facts = await conversationFacts(tx, conversation, { cutoffs, now, lock })
    if (facts !== undefined) {
      const plan = planConversation(facts, cutoffs, now)
      const part = within(plan, Math.max(room, Math.ceil(facts.messages.length / shareOfMessages)))
      room -= part.removed.length + part.cleared.length
      // First, so that no request made from here on relies on what goes.
      await makeInexact(tx, conversation, plan)
      await changeMessages(tx, conversation, part)
      await unindex(database, tx, conversation, part)
      await tellPurged(tx, database, conversation, part)
      tally(tallies, conversation.group, part)
      if (part !== plan) break
      await changeRest(tx, conversation, plan, now)
    }
    done++
  }
  return { ...nothing, tallies: tallies.list, done }
}

/** What goes because its conversation was deleted is on record with the conversation: no period alone tells of it. */
async function tellPurged(
  tx: Kysely<Tables>,
  { contents }: Store,
  { user_id: userId, id }: Key,
  { cleared, clearedCalls }: ConversationPlan,
): Promise<void> {
  if (![...cleared, ...clearedCalls].some(({ reason }) => reason === 'deleted')) return
  const calls = clearedCalls.map(call => call.id)
  await addEvents(tx, contents, ...purgedEvents({ userId, by: 'retention', id, calls }, Date.now()))
}

async function unindex(
  database: Database,
  tx: Kysely<Tables>,
  { user_id, id }: Key,
  { removed, cleared, isRemoved }: ConversationPlan,
): Promise<void> {
  const conversation = { userId: user_id, conversationId: id }
  const seqs = [...removed, ...cleared].map(({ seq }) => seq)
  if (!isRemoved && seqs.length === 0) return
  // Where there is one writer, nobody else is half-way through anything.
  if (!database.capabilities.hasOneWriter) await waitForIndexers(tx, conversation)
  // All of it, too, when its messages went with their month.
  if (isRemoved) {
    await database.unindex(tx, conversation)
    await forgetProgress(tx, conversation)
    return
  }
  for (const part of inParts(seqs)) await database.unindex(tx, { ...conversation, seqs: part })
}

/** As much of a plan as there is room for: the plan itself when that is all of it. */
function within(plan: ConversationPlan, room: number): ConversationPlan {
  const { removed, cleared } = plan
  if (removed.length + cleared.length <= room) return plan
  return {
    ...plan,
    removed: removed.slice(0, room),
    cleared: cleared.slice(0, Math.max(0, room - removed.length)),
    clearedCalls: [],
    snapshots: [],
    title: undefined,
    isInactive: false,
    isRemoved: false,
  }
}

async function changeMessages(
  tx: Kysely<Tables>,
  { user_id, id }: Key,
  { removed, cleared }: ConversationPlan,
): Promise<void> {
  const last = removed.at(-1)
  if (last !== undefined)
    await tx
      .deleteFrom('messages')
      .where('conversation_id', '=', id)
      .where('user_id', '=', user_id)
      .where('seq', '<=', last.seq)
      .execute()
  for (const part of inParts(cleared))
    await tx
      .updateTable('messages')
      .set({ content: absentStored(), items: null, echo: null, echo_from: null, wire_hash: '' })
      .where('conversation_id', '=', id)
      .where('user_id', '=', user_id)
      .where(
        'seq',
        'in',
        part.map(({ seq }) => seq),
      )
      .execute()
}

async function changeRest(
  tx: Kysely<Tables>,
  { user_id, id }: Key,
  { clearedCalls, snapshots, title, isInactive, isRemoved }: ConversationPlan,
  now: number,
): Promise<void> {
  for (const calls of inParts(clearedCalls))
    await clearCalls(
      tx,
      calls.map(call => ({ user_id, id: call.id })),
    )
  for (const part of inParts(snapshots))
    await tx
      .deleteFrom('context_snapshots')
      .where('conversation_id', '=', id)
      .where('user_id', '=', user_id)
      .where(
        'id',
        'in',
        part.map(snapshot => snapshot.id),
      )
      .execute()
  if (isRemoved) {
    await tx
      .updateTable('conversations')
      .set({ parent_id: null, parent_seq: null })
      .where('parent_id', '=', id)
      .where('user_id', '=', user_id)
      .execute()
    await tx.deleteFrom('conversations').where('id', '=', id).where('user_id', '=', user_id).execute()
  } else if (title !== undefined || isInactive) {
    await tx
      .updateTable('conversations')
      .set({
        ...(title === undefined ? {} : { title: null }),
        ...(isInactive ? { deleted_at: now } : {}),
      })
      .where('id', '=', id)
      .where('user_id', '=', user_id)
      .execute()
  }
}

/** Keeps requests from relying on messages that build on what goes, here and in every fork. */
async function makeInexact(tx: Kysely<Tables>, key: Key, plan: ConversationPlan): Promise<void> {
  await clearHashes(tx, key, plan.inexact)
  if (plan.removed.length + plan.cleared.length + plan.inexact.length > 0)
    await makeForksInexact(tx, key, plan.isBroken)
}

async function makeForksInexact(
  tx: Kysely<Tables>,
  key: Key,
  isBrokenInParent: (seq: number) => boolean,
): Promise<void> {
  for (const { id, user_id, parent_seq } of await forksOf(tx, key).execute()) {
    const fork = { id, user_id }
    const messages = await readings(tx, fork)
    const isBroken = brokenIn(messages, new Set(), seq => seq > (parent_seq ?? -1) || isBrokenInParent(seq))
    await clearHashes(
      tx,
      fork,
      messages.filter(({ seq, wire_hash }) => wire_hash !== '' && isBroken(seq)).map(({ seq }) => seq),
    )
    await makeForksInexact(tx, fork, isBroken)
  }
}

/** Keys named in one statement: every database takes so many parameters. */
const keysInAStatement = 1_000

function inParts<T>(values: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(values.length / keysInAStatement) }, (_, part) =>
    values.slice(part * keysInAStatement, (part + 1) * keysInAStatement),
  )
}

async function clearHashes(tx: Kysely<Tables>, { user_id, id }: Key, seqs: readonly number[]): Promise<void> {
  for (const part of inParts(seqs))
    await tx
      .updateTable('messages')
      .set({ wire_hash: '' })
      .where('conversation_id', '=', id)
      .where('user_id', '=', user_id)
      .where('seq', 'in', part)
      .execute()
}

/** Counts what a plan takes. */
export function tally(tallies: Tallies, group: string, plan: ConversationPlan): void {
  const lists = [
    ['messages', plan.removed],
    ['messages', plan.cleared],
    ['calls', plan.clearedCalls],
    ['snapshots', plan.snapshots],
    ['titles', plan.title === undefined ? [] : [plan.title]],
  ] as const
  for (const [kind, leaving] of lists)
    for (const { reason, bytes } of leaving) tallies.add({ group, reason, kind, rows: 1, bytes })
  const whole = { group, kind: 'conversations', rows: 1, bytes: 0 } as const
  if (plan.isRemoved) tallies.add({ ...whole, reason: 'metadata' })
  if (plan.isInactive) tallies.add({ ...whole, reason: 'inactive' })
}

/** Rows that have one of these keys. */
function isAnyOf<K extends string>(
  columns: readonly K[],
  keys: readonly Readonly<Record<K, string>>[],
): RawBuilder<boolean> {
  const names = sql.join(columns.map(column => sql.ref(column)))
  const values = keys.map(key => sql`(${sql.join(columns.map(column => key[column]))})`)
  return sql<boolean>`(${names}) IN (VALUES ${sql.join(values)})`
}
