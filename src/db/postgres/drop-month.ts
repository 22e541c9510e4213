import { type Kysely, sql } from 'kysely'
import type { StorageMonth } from '../database.ts'
import type { TableName, Tables } from '../tables.ts'
import { monthsAround } from './partitions.ts'

/** Tables whose rows go together, cut by the same ids. */
const droppedTogether: readonly (readonly TableName[])[] = [['llm_requests', 'llm_responses'], ['messages']]

/**
 * Milliseconds to wait for who writes to a month: nobody should. And for who reads any month of the table: meanwhile every
 * other who wants to read waits behind, calls among them.
 */
const writersTime = 2_000
const readersTime = 100

/** The months that have partitions of their own, which this role may drop, all of whose ids were made before `before`. */
export async function storageMonths(
  db: Kysely<Tables>,
  before: number,
  now: number,
): Promise<StorageMonth[]> {
  const { rows } = await sql<{ name: string }>`
    SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relispartition AND c.relkind = 'r' AND n.nspname = current_schema() AND pg_has_role(c.relowner, 'USAGE')`.execute(
    db,
  )
  const existing = new Set(rows.map(row => row.name))
  // Those around `now` would only be made again.
  const bound = Math.min(before, monthsAround(now)[0]?.from ?? before)
  const starts = new Set(
    rows.flatMap(({ name }) => {
      const [, year, month] = /_(\d{4})_(\d{2})$/.exec(name) ?? []
      return year === undefined ? [] : [Date.UTC(Number(year), Number(month) - 1)]
    }),
  )
  return [...starts]
    .sort((a, b) => a - b)
    .flatMap(from => {
      const start = new Date(from)
      const to = Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1)
      if (to > bound) return []
      const name = start.toISOString().slice(0, 7)
      return droppedTogether.flatMap(group => {
        const tables = group.filter(table => existing.has(partitionOf(table, name)))
        return tables.length === 0 ? [] : [{ tables, name, from, to }]
      })
    })
}

/**
 * Takes the partitions of a month away. They are looked through while they can still be read and no longer written; only
 * taking them off their tables, which touches no row, needs the tables for itself.
 */
export async function dropMonth(
  db: Kysely<Tables>,
  { tables, name }: StorageMonth,
  mayGo: (tx: Kysely<Tables>) => Promise<boolean>,
): Promise<'dropped' | 'kept' | 'busy'> {
  try {
    return await db.transaction().execute(async tx => {
      await sql.raw(`SET LOCAL lock_timeout = ${writersTime}`).execute(tx)
      for (const table of tables)
        await sql.raw(`LOCK TABLE ONLY ${partitionOf(table, name)} IN SHARE MODE`).execute(tx)
      if (!(await mayGo(tx))) return 'kept'
      await sql.raw(`SET LOCAL lock_timeout = ${readersTime}`).execute(tx)
      for (const table of tables) {
        const partition = partitionOf(table, name)
        await sql.raw(`ALTER TABLE ${table} DETACH PARTITION ${partition}`).execute(tx)
        await sql.raw(`DROP TABLE ${partition}`).execute(tx)
      }
      return 'dropped'
    })
  } catch (error) {
    // lock_not_available, deadlock_detected; undefined_table: another was faster.
    const state = (error as { code?: unknown }).code
    if (state === '55P03' || state === '40P01') return 'busy'
    if (state === '42P01') return 'kept'
    throw error
  }
}

function partitionOf(table: TableName, month: string): string {
  return `${table}_${month.replace('-', '_')}`
}
