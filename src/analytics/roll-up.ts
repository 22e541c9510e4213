import { type Kysely, sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { lowestIdAt } from '../ids.ts'
import { type CallKey, keyText, readCalls, readCallsOf, settledOf } from './calls.ts'
import { settlingTime } from './late-calls.ts'
import { type CallFacts, dayAt } from './measures.ts'
import { lockProgress, type Progress, readProgress, writeProgress } from './progress.ts'
import { addToConversations, applyDelta, Delta, isAnyOf } from './rollups.ts'

export interface RollUpOptions {
  /** Calls at most. */
  readonly limit: number
  /** Milliseconds since 1970. */
  readonly now: number
}

export interface RolledUp {
  /** Calls that were added to the sums. */
  readonly calls: number
  /** False while there is more to do. */
  readonly isDone: boolean
}

/**
 * Adds the next calls to the sums, in one transaction: first those that came late, then on from where it had stopped. A call
 * that has not ended when its turn comes is noted, and added once it has. Two that do so at once take turns.
 */
export async function rollUp(
  tx: Kysely<Tables>,
  lock: Database['forUpdate'],
  { limit, now }: RollUpOptions,
): Promise<RolledUp> {
  const progress = await lockProgress(tx, lock)
  const late = await addPending(tx, progress, limit)
  if (late.length === limit) return { calls: late.length, isDone: false }
  const horizon = await horizonAt(tx, now)
  if (progress.rolledTo >= horizon) return { calls: late.length, isDone: true }

  const page = await readCalls(tx, { where: sql`1 = 1`, limit }, { from: progress.rolledTo, to: horizon })
  const last = page.at(-1)?.call_id
  const isDone = page.length < limit
  // A space comes before all that ids are made of: this is right behind the last of them, and what shares its id is below.
  const rolledTo = isDone || last === undefined ? horizon : `${last} `
  const shared = isDone || last === undefined ? [] : await readCallsWithId(tx, last)
  const known = new Set(page.map(keyText))
  const calls = [...page, ...shared.filter(call => !known.has(keyText(call)))]
  const settled = settledOf(calls)
  await addCalls(tx, settled)
  await forget(
    tx,
    calls.filter(({ facts }) => facts !== undefined),
  )
  await notePending(
    tx,
    calls.filter(({ facts }) => facts === undefined),
  )
  await writeProgress(tx, { ...progress, rolledTo })
  return { calls: late.length + settled.length, isDone }
}

/** Calls of several users may have the same id. */
function readCallsWithId(tx: Kysely<Tables>, id: string): ReturnType<typeof readCalls> {
  return readCalls(tx, { where: sql`q.id = ${id}`, limit: 1_000_000 }, { from: id, to: `${id} ` })
}

/**
 * The id that calls which are yet to be written have at least; others are noted as late when they are. What counts is the
 * clock that is furthest behind: each process says what its own is.
 */
async function horizonAt(db: Kysely<Tables>, now: number): Promise<string> {
  const row = await db
    .selectFrom('instances')
    .select(eb => eb.fn.min('heartbeat_at').as('beat'))
    .executeTakeFirst()
  return lowestIdAt('call', Math.max(0, Math.min(now, row?.beat ?? now) - settlingTime))
}

async function addPending(tx: Kysely<Tables>, { rolledTo }: Progress, limit: number): Promise<CallFacts[]> {
  const calls = await pendingCalls(tx, limit)
  // What it has not come to yet is added in its turn.
  const added = calls.filter(({ id }) => id < rolledTo)
  await addCalls(tx, added)
  await forget(
    tx,
    calls.map(({ id, user_id }) => ({ call_id: id, user_id })),
  )
  return calls
}

/** Calls that were noted and have ended. */
export async function pendingCalls(db: Kysely<Tables>, limit: number): Promise<CallFacts[]> {
  const rows = await db
    .selectFrom('usage_pending as p')
    .innerJoin('llm_responses as s', join =>
      join.onRef('s.request_id', '=', 'p.call_id').onRef('s.user_id', '=', 'p.user_id'),
    )
    .select(['p.call_id', 'p.user_id'])
    .orderBy('p.call_id')
    .orderBy('p.user_id')
    .limit(limit)
    .execute()
  return settledOf(await readCallsOf(db, rows))
}

/** Adds settled calls to all sums. The progress is locked. */
async function addCalls(tx: Kysely<Tables>, calls: readonly CallFacts[]): Promise<void> {
  const delta = new Delta()
  for (const call of calls) delta.addCall(call)
  await applyDelta(tx, delta)
  await addToConversations(tx, calls)
}

async function notePending(tx: Kysely<Tables>, calls: readonly CallKey[]): Promise<void> {
  if (calls.length === 0) return
  await tx
    .insertInto('usage_pending')
    .values(calls.map(({ call_id, user_id }) => ({ call_id, user_id })))
    .onConflict(conflict => conflict.columns(['call_id', 'user_id']).doNothing())
    .execute()
}

const keysAtATime = 500

async function forget(tx: Kysely<Tables>, keys: readonly CallKey[]): Promise<void> {
  for (let at = 0; at < keys.length; at += keysAtATime)
    await tx
      .deleteFrom('usage_pending')
      .where(isAnyOf(['call_id', 'user_id'], keys.slice(at, at + keysAtATime)))
      .execute()
}

/** Which of these calls are not in the sums. */
async function notInSums(
  db: Kysely<Tables>,
  { rolledTo }: Progress,
  keys: readonly CallKey[],
): Promise<CallKey[]> {
  const below = keys.filter(({ call_id }) => call_id < rolledTo)
  const pending = new Set<string>()
  for (let at = 0; at < below.length; at += keysAtATime) {
    const rows = await db
      .selectFrom('usage_pending')
      .selectAll()
      .where(isAnyOf(['call_id', 'user_id'], below.slice(at, at + keysAtATime)))
      .execute()
    for (const row of rows) pending.add(keyText(row))
  }
  return keys.filter(key => key.call_id >= rolledTo || pending.has(keyText(key)))
}

/**
 * Adds calls to the sums whose rows are about to be removed, so that what they came to stays. In the transaction that removes
 * them.
 */
export async function addLeaving(
  tx: Kysely<Tables>,
  lock: Database['forUpdate'],
  keys: readonly CallKey[],
): Promise<void> {
  const progress = await lockProgress(tx, lock)
  const calls = settledOf(await readCallsOf(tx, keys))
  const missing = new Set((await notInSums(tx, progress, keys)).map(keyText))
  await addCalls(
    tx,
    calls.filter(({ id, user_id }) => missing.has(keyText({ call_id: id, user_id }))),
  )
  await forget(tx, keys)
  const lastDay = calls.reduce((day, call) => (call.day > day ? call.day : day), progress.goneTo)
  if (lastDay !== progress.goneTo) await writeProgress(tx, { ...progress, goneTo: lastDay })
}

const leavingAtATime = 2_000

/** The same for all calls with these ids. Nearly all of them are in the sums already. */
export async function addLeavingBetween(
  tx: Kysely<Tables>,
  lock: Database['forUpdate'],
  { from, to }: { readonly from: string; readonly to: string },
): Promise<void> {
  const progress = await lockProgress(tx, lock)
  const pending = await tx
    .selectFrom('usage_pending')
    .selectAll()
    .where('call_id', '>=', from)
    .where('call_id', '<', to)
    .execute()
  for (let at = 0; at < pending.length; at += leavingAtATime)
    await addLeaving(tx, lock, pending.slice(at, at + leavingAtATime))
  let next = from > progress.rolledTo ? from : progress.rolledTo
  while (next < to) {
    const page = await readCalls(tx, { where: sql`1 = 1`, limit: leavingAtATime }, { from: next, to })
    const last = page.at(-1)
    if (last === undefined) break
    const keys = [...page, ...(await readCallsWithId(tx, last.call_id))]
    await addLeaving(tx, lock, [...new Map(keys.map(key => [keyText(key), key])).values()])
    next = `${last.call_id} `
  }
  const { rows } = await sql<{ at: number | null }>`SELECT max(created_at) AS at FROM llm_responses
    WHERE request_id >= ${from} AND request_id < ${to}`.execute(tx)
  const lastDay = rows[0]?.at == null ? '' : dayAt(rows[0].at)
  const now = await readProgress(tx)
  if (lastDay > now.goneTo) await writeProgress(tx, { ...now, goneTo: lastDay })
}
