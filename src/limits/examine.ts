import type { Kysely } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import { addEvents, eventRow, operator, withoutKeys } from '../store/audit-events.ts'
import { type Amounts, metrics } from './caps.ts'
import { writeSums } from './count.ts'
import type { Counter, CounterScope } from './counted.ts'
import { recount } from './recount.ts'
import type { Period } from './windows.ts'

/** A counter that does not say what the calls on record come to. */
export interface Miscount extends Counter {
  readonly counted: Amounts
  readonly calls: Amounts
}

/**
 * Compares the counters of now with the calls on record, in one snapshot. Calls that the retention has removed within the window
 * are missing in the sum: periods shorter than a month of metadata make a month's counters look wrong.
 */
export function examineCounters({ snapshot }: Pick<Database, 'snapshot'>): Promise<Miscount[]> {
  return snapshot(db => miscounts(db))
}

/** Puts counters right while nothing is counted. Returns what they said. */
export function repairCounters({ holding }: Pick<Database, 'holding'>): Promise<Miscount[]> {
  return holding('limits', 'alone', async tx => {
    const wrong = await miscounts(tx)
    for (const counter of wrong) await writeSums(tx, counter)
    const event = { userId: '', by: operator, action: 'limit.repaired' } as const
    if (wrong.length > 0) await addEvents(tx, withoutKeys, eventRow(event, Date.now()))
    return wrong
  })
}

async function miscounts(db: Kysely<Tables>): Promise<Miscount[]> {
  const rows = await db
    .selectFrom('limit_counters')
    .selectAll()
    .where('window_end', '>', Date.now())
    .orderBy('scope')
    .orderBy('subject')
    .orderBy('model')
    .orderBy('window_start')
    .execute()
  const found: Miscount[] = []
  for (const row of rows) {
    const counter = counterOf(row)
    const calls = await recount(db, counter)
    const { requests, tokens, nanousd } = row
    const counted = { requests, tokens, nanousd }
    if (metrics.some(metric => counted[metric] !== calls[metric])) found.push({ ...counter, counted, calls })
  }
  return found
}

function counterOf(row: Row<'limit_counters'>): Counter {
  return {
    scope: row.scope as CounterScope,
    subject: row.subject,
    model: row.model,
    period: row.period as Period,
    window: { start: row.window_start, end: row.window_end },
  }
}
