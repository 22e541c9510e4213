import type { Kysely } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import type { LimitBook } from './book.ts'
import { type Amounts, noCaps, nothing } from './caps.ts'
import { type Counter, counterKey, counterRow } from './counted.ts'
import { recount } from './recount.ts'
import { readState, writeState } from './state.ts'

/**
 * Makes the rows of counters from the calls on record. Whoever begins or settles a call of such a counter meanwhile either committed
 * before the row was made, and is in the sum, or finds that the row is missing, and waits for it here.
 */
export async function countCalls(
  database: Pick<Database, 'holding'>,
  version: number,
  counters: readonly Counter[],
): Promise<void> {
  for (const counter of counters) {
    await database.holding('limits', 'shared', async tx => {
      // By another version it may be counted no more.
      if ((await readState(tx)).version !== version) return
      const { numInsertedOrUpdatedRows } = await tx
        .insertInto('limit_counters')
        .values(counterRow(counter, nothing))
        .onConflict(conflict => conflict.columns([...counterKey]).doNothing())
        .executeTakeFirst()
      if (Number(numInsertedOrUpdatedRows ?? 0) === 0) return
      await writeSums(tx, counter, await recount(tx, counter))
    })
  }
}

/** Puts what calls come to into a counter's row. */
export async function writeSums(
  tx: Kysely<Tables>,
  { scope, subject, model, period, window }: Counter,
  { requests, tokens, nanousd }: Amounts,
): Promise<void> {
  await tx
    .updateTable('limit_counters')
    .set({ requests, tokens, nanousd })
    .where('scope', '=', scope)
    .where('subject', '=', subject)
    .where('model', '=', model)
    .where('period', '=', period)
    .where('window_start', '=', window.start)
    .execute()
}

/** Has every process count what the caps of this one's configuration need, from now on. */
export async function countConfigured(database: Pick<Database, 'holding'>, book: LimitBook): Promise<void> {
  await database.holding('limits', 'alone', async tx => {
    const state = await readState(tx)
    const now = Date.now()
    const rows = book.configuredPeriods.map(period => ({
      scope: 'each_user',
      subject: '',
      model: '',
      period,
      ...noCaps,
      counted_from: now,
      updated_at: now,
    }))
    const { numInsertedOrUpdatedRows } = await tx
      .insertInto('limits')
      .values(rows)
      .onConflict(conflict => conflict.columns(['scope', 'subject', 'model', 'period']).doNothing())
      .executeTakeFirst()
    if (Number(numInsertedOrUpdatedRows ?? 0) > 0) await writeState(tx, state.timeZone, state.version)
  })
}
