import type { Kysely } from 'kysely'
import { dayAt } from '../analytics/measures.ts'
import { readProgress } from '../analytics/progress.ts'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import { addEvents, eventRow, operator, withoutKeys } from '../store/audit-events.ts'
import { type Amounts, type Metric, metrics } from './caps.ts'
import { writeSums } from './count.ts'
import { type Counter, type CounterScope, nameOf, nameOfRow } from './counted.ts'
import { recount } from './recount.ts'
import type { Period } from './windows.ts'

/** A counter that does not say what its calls come to. */
export interface Miscount extends Counter {
  readonly counted: Amounts
  readonly calls: Amounts
}

/**
 * Compares the counters of now with the calls on record, in one snapshot. Where the retention has let calls of a window go,
 * those that are left are the least that its counters may say.
 */
export function examineCounters({ snapshot }: Pick<Database, 'snapshot'>): Promise<Miscount[]> {
  return snapshot(async db => miscounts(db, await countersOfNow(db)))
}

/** Puts counters right while nothing is counted: only those that looked wrong before, as all calls wait for it. Returns what they said. */
export async function repairCounters(database: Pick<Database, 'snapshot' | 'holding'>): Promise<Miscount[]> {
  const suspects = new Set((await examineCounters(database)).map(nameOf))
  if (suspects.size === 0) return []
  return database.holding('limits', 'alone', async tx => {
    const rows = (await countersOfNow(tx)).filter(row => suspects.has(nameOfRow(row)))
    const wrong = await miscounts(tx, rows)
    for (const counter of wrong) await writeSums(tx, counter, counter.calls)
    const event = { userId: '', by: operator, action: 'limit.repaired' } as const
    if (wrong.length > 0) await addEvents(tx, withoutKeys, eventRow(event, Date.now()))
    return wrong
  })
}

function countersOfNow(db: Kysely<Tables>): Promise<Row<'limit_counters'>[]> {
  return db
    .selectFrom('limit_counters')
    .selectAll()
    .where('window_end', '>', Date.now())
    .orderBy('scope')
    .orderBy('subject')
    .orderBy('model')
    .orderBy('window_start')
    .execute()
}

async function miscounts(db: Kysely<Tables>, rows: readonly Row<'limit_counters'>[]): Promise<Miscount[]> {
  const { goneTo } = await readProgress(db)
  const found: Miscount[] = []
  for (const row of rows) {
    const counter = counterOf(row)
    const { requests, tokens, nanousd } = row
    const counted = { requests, tokens, nanousd }
    const onRecord = await recount(db, counter)
    const calls = dayAt(counter.window.start) > goneTo ? onRecord : atLeast(counted, onRecord)
    if (metrics.some(metric => counted[metric] !== calls[metric])) found.push({ ...counter, counted, calls })
  }
  return found
}

function atLeast(a: Amounts, b: Amounts): Amounts {
  const least = (metric: Metric): number => Math.max(a[metric], b[metric])
  return { requests: least('requests'), tokens: least('tokens'), nanousd: least('nanousd') }
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
