import type { Kysely } from 'kysely'
import { dayAt } from '../analytics/measures.ts'
import { readProgress } from '../analytics/progress.ts'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import { type Amounts, type Metric, metrics } from './caps.ts'
import { writeSums } from './count.ts'
import type { Counter, CounterScope } from './counted.ts'
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
  return snapshot(db => miscounts(db))
}

/** Puts counters right while nothing is counted. Returns what they said. */
export function repairCounters({ holding }: Pick<Database, 'holding'>): Promise<Miscount[]> {
  return holding('limits', 'alone', async tx => {
    const wrong = await miscounts(tx)
    for (const counter of wrong) await writeSums(tx, counter, counter.calls)
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
