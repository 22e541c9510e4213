import { type Kysely, sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { emptyDay } from '../store/usage.ts'
import { keyText, readCalls, settledOf } from './calls.ts'
import { dailyColumns, noSums } from './check.ts'
import { addCall, addStored, addSums, endOfDay, noMeasures, startOfDay } from './measures.ts'
import { lockProgress, type Progress } from './progress.ts'
import { addToConversations, applyDelta, Delta, everybody, levelsOf } from './rollups.ts'
import type { UsageCell } from './steps.ts'

/**
 * Makes the sums of a user's calls of one day and model what the calls come to; where retention has let some of them go, the
 * sums that reports read what `usage_daily` says. For a cell of everybody what other levels say of its day is made from
 * the rows of `each`. Calls that end meanwhile wait, and are added to what is right then.
 */
export async function repairCell(
  tx: Kysely<Tables>,
  lock: Database['forUpdate'],
  cell: UsageCell,
): Promise<void> {
  const progress = await lockProgress(tx, lock)
  if (cell.userId === everybody) return repairEverybody(tx, cell)
  const { user_id, day, model } = keyOf(cell)
  await tx
    .insertInto('usage_daily')
    .values(emptyDay({ user_id, day, model }))
    .onConflict(conflict => conflict.columns(['user_id', 'day', 'model']).doNothing())
    .execute()
  const daily = await tx
    .selectFrom('usage_daily')
    .selectAll()
    .where('user_id', '=', user_id)
    .where('day', '=', day)
    .where('model', '=', model)
    .modifyEnd(lock)
    .executeTakeFirstOrThrow()
  const calls = await callsOf(tx, cell)
  const all = noMeasures()
  for (const call of calls) addCall(all, call)
  const isLetGo = day <= progress.goneTo && all.calls < daily.calls
  if (isLetGo) return addRest(tx, { cell, progress, daily, calls })
  const right = Object.fromEntries(dailyColumns.map(column => [column, all[column]]))
  await tx
    .updateTable('usage_daily')
    .set(right)
    .where('user_id', '=', user_id)
    .where('day', '=', day)
    .where('model', '=', model)
    .execute()
  await makeRollups(tx, { cell, progress, calls })
}

type Calls = ReturnType<typeof settledOf>

interface Repair {
  readonly cell: UsageCell
  readonly progress: Progress
  /** Those of the cell that there are. */
  readonly calls: Calls
}

function keyOf({ userId, day, model }: UsageCell) {
  return { user_id: userId, day, model }
}

async function callsOf(tx: Kysely<Tables>, { userId, day, model }: UsageCell): Promise<Calls> {
  const where = sql`q.user_id = ${userId} AND s.created_at >= ${startOfDay(day)} AND s.created_at < ${endOfDay(day)}
    AND coalesce(s.response_model, q.request_model) = ${model}`
  return settledOf(await readCalls(tx, { where, limit: Number.MAX_SAFE_INTEGER }))
}

/** Of these calls those that are in the sums that reports read. */
async function rolledOf(tx: Kysely<Tables>, { cell, progress, calls }: Repair): Promise<Calls> {
  const pending = await tx
    .selectFrom('usage_pending')
    .selectAll()
    .where('user_id', '=', cell.userId)
    .execute()
  const waiting = new Set(pending.map(keyText))
  return calls.filter(
    ({ id, user_id }) => id < progress.rolledTo && !waiting.has(keyText({ call_id: id, user_id })),
  )
}

function rollupsOf(tx: Kysely<Tables>, { userId, day, model }: UsageCell) {
  return tx
    .selectFrom('usage_rollups')
    .selectAll()
    .where('day', '=', day)
    .where('level', '=', 'each')
    .where('user_id', '=', userId)
    .where('model', '=', model)
    .execute()
}

async function makeRollups(tx: Kysely<Tables>, repair: Repair): Promise<void> {
  const { cell } = repair
  const rolled = await rolledOf(tx, repair)
  const delta = new Delta()
  for (const call of rolled) delta.addCall(call)
  for (const row of await rollupsOf(tx, cell))
    for (const key of levelsOf(row)) addStored(delta.of(key), row, -1)
  await applyDelta(tx, delta)
  await repairConversations(tx, repair)
}

/** Those of the user and the day, of whatever model. */
async function repairConversations(tx: Kysely<Tables>, { cell, progress }: Repair): Promise<void> {
  const { userId, day } = cell
  const where = sql`q.user_id = ${userId} AND s.created_at >= ${startOfDay(day)} AND s.created_at < ${endOfDay(day)}`
  const calls = settledOf(await readCalls(tx, { where, limit: Number.MAX_SAFE_INTEGER }))
  // What calls came to that are gone is only in these sums.
  if (day <= progress.goneTo) return
  await tx.deleteFrom('usage_conversations').where('day', '=', day).where('user_id', '=', userId).execute()
  await addToConversations(tx, await rolledOf(tx, { cell, progress, calls }))
}

/** Of calls that are gone nobody knows more than what they came to: the rest is counted without provider or key. */
async function addRest(
  tx: Kysely<Tables>,
  { daily, ...repair }: Repair & { readonly daily: Tables['usage_daily'] },
): Promise<void> {
  const { cell } = repair
  const rolled = await rolledOf(tx, repair)
  const inSums = new Set(rolled.map(({ id }) => id))
  const reported = noMeasures()
  for (const row of await rollupsOf(tx, cell)) addSums(reported, row)
  for (const call of repair.calls) if (!inSums.has(call.id)) addCall(reported, call)
  const rest = noSums()
  for (const column of dailyColumns) rest[column] = daily[column] - reported[column]
  const delta = new Delta()
  const key = { ...keyOf(cell), provider: '', operation: '', document_type: '', api_key_id: '' }
  for (const one of levelsOf(key)) addSums(delta.of(one), rest)
  await applyDelta(tx, delta)
}

async function repairEverybody(tx: Kysely<Tables>, { day }: UsageCell): Promise<void> {
  const rows = await tx.selectFrom('usage_rollups').selectAll().where('day', '=', day).execute()
  const delta = new Delta()
  for (const row of rows) {
    if (row.level !== 'each') addStored(delta.of(row), row, -1)
    else for (const key of levelsOf(row)) if (key.level !== 'each') addStored(delta.of(key), row)
  }
  await applyDelta(tx, delta)
}
