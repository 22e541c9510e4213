import type { Kysely } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'

/** How far calls are summed up. */
export interface Progress {
  /**
   * Every settled call whose id is lower is in the sums, and none whose id is not; but for those that `usage_pending`
   * names, which are not.
   */
  readonly rolledTo: string
  /** Calls settled on this day (YYYY-MM-DD) or before may have been let go by retention; '' while none has. */
  readonly goneTo: string
}

const name = 'rollup'
const start: Progress = { rolledTo: '', goneTo: '' }

/** The row at the beginning. */
export const progressRow = { name, rolled_to: start.rolledTo, gone_to: start.goneTo }

export async function readProgress(db: Kysely<Tables>): Promise<Progress> {
  const row = await db.selectFrom('usage_progress').selectAll().where('name', '=', name).executeTakeFirst()
  return row === undefined ? start : { rolledTo: row.rolled_to, goneTo: row.gone_to }
}

/** The same, and until this transaction ends nobody else changes it, nor the sums. */
export async function lockProgress(tx: Kysely<Tables>, lock: Database['forUpdate']): Promise<Progress> {
  await tx
    .insertInto('usage_progress')
    .values(progressRow)
    .onConflict(conflict => conflict.column('name').doNothing())
    .execute()
  const row = await tx
    .selectFrom('usage_progress')
    .selectAll()
    .where('name', '=', name)
    .modifyEnd(lock)
    .executeTakeFirstOrThrow()
  return { rolledTo: row.rolled_to, goneTo: row.gone_to }
}

/** Neither goes back. */
export async function writeProgress(tx: Kysely<Tables>, progress: Progress): Promise<void> {
  await tx
    .updateTable('usage_progress')
    .set({ rolled_to: progress.rolledTo, gone_to: progress.goneTo })
    .where('name', '=', name)
    .execute()
}
