import { type Kysely, sql } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { type BegunFacts, keyText, readCalls, settledOf } from './calls.ts'
import { addCall, addSums, type CallFacts, noMeasures, type Sums, sumColumns } from './measures.ts'
import { readProgress } from './progress.ts'
import { sumOf } from './report.ts'
import { everybody } from './rollups.ts'
import type { UsageCell } from './steps.ts'

/** The columns of `usage_daily` that sum up. */
export const dailyColumns = [
  'calls',
  'errors',
  'input_tokens',
  'output_tokens',
  'cost_nanousd',
  'unpriced_calls',
] as const satisfies readonly (keyof Sums)[]

/** Something that should be equal and is not. */
export interface UsageDifference {
  /** Which sums: those of the day that calls are added to when they end, or those that reports read. */
  readonly of: 'usage_daily' | 'usage_rollups'
  readonly cell: UsageCell
  /** The first of the columns that differ, what it says, and what it should. */
  readonly column: string
  readonly found: number
  readonly expected: number
}

export interface UsageCheck {
  /** Calls that were counted again. */
  readonly calls: number
  /** Rows of `usage_daily` that were compared. */
  readonly cells: number
  /**
   * Those whose calls retention has let go, in part or all: they are compared with the other sums, not with calls.
   */
  readonly letGo: number
  readonly differences: readonly UsageDifference[]
}

interface Counted {
  readonly cell: UsageCell
  /** Of all calls that there are. */
  readonly all: Sums
  /** Of these, of those that are not in the sums that reports read. */
  readonly tail: Sums
  readonly daily: Sums
  readonly rolled: Sums
}

/**
 * Counts every call again and compares: each row of `usage_daily` with its calls, and the sums that reports read with both.
 * @param db a snapshot
 * @param onProgress told after each page how many calls were counted
 */
export async function checkUsage(
  db: Kysely<Tables>,
  onProgress?: (calls: number) => void,
): Promise<UsageCheck> {
  const { rolledTo, goneTo } = await readProgress(db)
  const cells = new Map<string, Counted>()
  const of = (cell: UsageCell): Counted => {
    const text = JSON.stringify([cell.userId, cell.day, cell.model])
    let counted = cells.get(text)
    if (counted === undefined) {
      counted = { cell, all: noSums(), tail: noSums(), daily: noSums(), rolled: noSums() }
      cells.set(text, counted)
    }
    return counted
  }
  const pending = new Set((await db.selectFrom('usage_pending').selectAll().execute()).map(keyText))
  let calls = 0
  for await (const page of allCalls(db)) {
    for (const call of page) {
      const { all, tail } = of(cellOf(call))
      count(all, call)
      const key = keyText({ call_id: call.id, user_id: call.user_id })
      if (call.id >= rolledTo || pending.has(key)) count(tail, call)
    }
    calls += page.length
    onProgress?.(calls)
  }
  const daily = await db.selectFrom('usage_daily').selectAll().execute()
  for (const row of daily) addDaily(of({ userId: row.user_id, day: row.day, model: row.model }).daily, row)
  const rolled = await rolledSums(db)
  for (const row of rolled)
    if (row.level === 'each') addSums(of({ userId: row.user_id, day: row.day, model: row.model }).rolled, row)

  const differences: UsageDifference[] = []
  let letGo = 0
  for (const counted of cells.values()) {
    const isLetGo = counted.cell.day <= goneTo && counted.all.calls < counted.daily.calls
    if (isLetGo) letGo++
    differences.push(...differencesOf(counted, isLetGo))
  }
  differences.push(...differencesOfLevels(rolled))
  return { calls, cells: daily.length, letGo, differences }
}

function differencesOf({ cell, all, tail, daily, rolled }: Counted, isLetGo: boolean): UsageDifference[] {
  const reported = noSums()
  addSums(reported, rolled)
  addSums(reported, tail)
  if (isLetGo) return [firstOf('usage_rollups', cell, dailyColumns, reported, daily)].flat()
  return [
    firstOf('usage_daily', cell, dailyColumns, daily, all),
    firstOf('usage_rollups', cell, sumColumns, reported, all),
  ].flat()
}

function firstOf(
  of: UsageDifference['of'],
  cell: UsageCell,
  columns: readonly (keyof Sums)[],
  found: Sums,
  expected: Sums,
): UsageDifference[] {
  const column = columns.find(one => found[one] !== expected[one])
  return column === undefined ? [] : [{ of, cell, column, found: found[column], expected: expected[column] }]
}

/** The rows of the levels that leave something out must be what those come to that do not. */
function differencesOfLevels(rows: readonly RolledRow[]): UsageDifference[] {
  const sums = new Map<string, { each: Sums; own: Sums; cell: UsageCell }>()
  const of = (row: RolledRow, key: readonly string[]) => {
    const text = JSON.stringify(key)
    const entry = sums.get(text) ?? {
      each: noSums(),
      own: noSums(),
      cell: { userId: everybody, day: row.day, model: '' },
    }
    sums.set(text, entry)
    return entry
  }
  for (const row of rows) {
    const { day, level, user_id, model } = row
    if (level !== 'user') addSums(of(row, [day, 'all', model])[level === 'each' ? 'each' : 'own'], row)
    if (level !== 'all') addSums(of(row, [day, 'user', user_id])[level === 'each' ? 'each' : 'own'], row)
  }
  return [...sums.values()].flatMap(({ each, own, cell }) =>
    firstOf('usage_rollups', cell, sumColumns, own, each),
  )
}

type RolledRow = Sums & Pick<Row<'usage_rollups'>, 'level' | 'user_id' | 'day' | 'model'>

function rolledSums(db: Kysely<Tables>): Promise<RolledRow[]> {
  return db
    .selectFrom('usage_rollups')
    .select(['level', 'user_id', 'day', 'model'])
    .select(sumColumns.map(column => sumOf(column)))
    .groupBy(['level', 'user_id', 'day', 'model'])
    .execute() as Promise<RolledRow[]>
}

function cellOf({ user_id, day, model }: CallFacts): UsageCell {
  return { userId: user_id, day, model }
}

function count(to: Sums, call: CallFacts): void {
  const measures = noMeasures()
  addCall(measures, call)
  addSums(to, measures)
}

function addDaily(to: Sums, row: Pick<Row<'usage_daily'>, (typeof dailyColumns)[number]>): void {
  for (const column of dailyColumns) to[column] += row[column]
}

export function noSums(): Sums {
  return Object.fromEntries(sumColumns.map(column => [column, 0])) as Sums
}

const callsAtATime = 5_000

/** Every settled call. */
async function* allCalls(db: Kysely<Tables>): AsyncGenerator<readonly CallFacts[]> {
  let last: BegunFacts | undefined
  for (;;) {
    const where =
      last === undefined ? sql`1 = 1` : sql`(q.id, q.user_id) > (${last.call_id}, ${last.user_id})`
    const page = await readCalls(db, { where, limit: callsAtATime }, { from: last?.call_id ?? '' })
    yield settledOf(page)
    last = page.at(-1)
    if (page.length < callsAtATime || last === undefined) return
  }
}
