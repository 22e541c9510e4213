import { CompiledQuery, type Kysely, sql } from 'kysely'
import { type IdKind, idTime, isId, lowestIdAt } from '../../ids.ts'
import type { ChangeReason } from '../guards.ts'
import type { TableName, Tables } from '../tables.ts'
import { guardPartition, permitStatement } from './guards.ts'

/** The tables that are cut into months, and the kind of id they are cut by. */
const partitionedTables = {
  messages: 'conversation',
  llm_requests: 'call',
  llm_responses: 'call',
  audit_events: 'audit',
} as const satisfies Partial<Record<keyof Tables, IdKind>>

export const partitionedTableNames = Object.keys(partitionedTables) as readonly TableName[]

/** Months made ahead of the current one, so that a gateway left alone for a season does not fill the default. */
const monthsAhead = 3

/** Ids of earlier months are made up: the layout is younger. They, and those far ahead, stay in the default partition. */
const firstMonth = Date.UTC(2020, 0)
const longestAhead = 366 * 24 * 3_600_000

interface Month {
  readonly name: string
  readonly from: number
  readonly to: number
}

/**
 * Makes the partitions of these months. Rows that strayed into the default partition are moved. Needs a transaction;
 * returns the names of what it made.
 */
export async function ensurePartitions(
  tx: Kysely<Tables>,
  months: readonly Month[],
  only: readonly TableName[] = partitionedTableNames,
): Promise<string[]> {
  const missing = await missingPartitions(tx, months, only)
  for (const { table, name, from, to } of missing) await makePartition(tx, table, name, from, to)
  return missing.map(({ name }) => name)
}

interface Partition {
  readonly table: string
  readonly name: string
  /** The first id that belongs in it, and the first that belongs behind it. */
  readonly from: string
  readonly to: string
}

/** Those of these months that are not there. */
export async function missingPartitions(
  db: Kysely<Tables>,
  months: readonly Month[],
  only: readonly TableName[] = partitionedTableNames,
): Promise<Partition[]> {
  const { rows } = await sql<{ name: string }>`
    SELECT c.relname AS name FROM unnest(${only}::text[]) AS parent(name)
    JOIN pg_inherits i ON i.inhparent = to_regclass(parent.name) JOIN pg_class c ON c.oid = i.inhrelid
    WHERE c.relispartition`.execute(db)
  const existing = new Set(rows.map(row => row.name))
  return only
    .flatMap(table => {
      const kind = (partitionedTables as Partial<Record<TableName, IdKind>>)[table]
      if (kind === undefined) return []
      return months.map(month => ({
        table,
        name: `${table}_${month.name}`,
        from: lowestIdAt(kind, month.from),
        to: lowestIdAt(kind, month.to),
      }))
    })
    .filter(({ name }) => !existing.has(name))
}

/** Whether this role may make partitions: it owns the tables, or may act as who does. */
export async function mayPartition(db: Kysely<Tables>): Promise<boolean> {
  const { rows } = await sql<{ may: boolean }>`
    SELECT has_schema_privilege(relnamespace, 'CREATE') AND pg_has_role(relowner, 'USAGE') AS may
    FROM pg_class WHERE oid = to_regclass(${partitionedTableNames[0] ?? ''})`.execute(db)
  return rows[0]?.may === true
}

async function makePartition(
  tx: Kysely<Tables>,
  table: string,
  name: string,
  from: string,
  to: string,
): Promise<void> {
  const column = partitionColumn(table)
  const strays = `${column} >= '${from}' AND ${column} < '${to}'`
  await tx.executeQuery(CompiledQuery.raw(permitStatement, ['storage' satisfies ChangeReason]))
  // Made apart and attached: PARTITION OF refuses a range of which the default partition holds rows.
  await sql.raw(`CREATE TABLE ${name} (LIKE ${table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`).execute(tx)
  await sql
    .raw(
      `WITH strays AS (DELETE FROM ${table}_default WHERE ${strays} RETURNING *) INSERT INTO ${name} SELECT * FROM strays`,
    )
    .execute(tx)
  await sql
    .raw(`ALTER TABLE ${table} ATTACH PARTITION ${name} FOR VALUES FROM ('${from}') TO ('${to}')`)
    .execute(tx)
  await guardPartition(tx, table, name)
}

function partitionColumn(table: string): string {
  if (table === 'messages') return 'conversation_id'
  return table === 'llm_responses' ? 'request_id' : 'id'
}

/** The month of `time`, the one before (calls under way at midnight) and those ahead. */
export function monthsAround(time: number): Month[] {
  const now = new Date(time)
  return Array.from({ length: monthsAhead + 2 }, (_, index) =>
    monthAt(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1 + index)),
  )
}

/** The months in which these rows belong, as far as they have partitions of their own. */
export function monthsOf(table: TableName, rows: readonly object[]): Month[] {
  const kind = (partitionedTables as Partial<Record<TableName, IdKind>>)[table]
  if (kind === undefined) return []
  const column = partitionColumn(table)
  const last = Date.now() + longestAhead
  const starts = new Set<number>()
  for (const row of rows) {
    const id = (row as Readonly<Record<string, unknown>>)[column]
    if (typeof id !== 'string' || !isId(kind, id)) continue
    const time = idTime(id)
    if (time < firstMonth || time > last) continue
    const made = new Date(time)
    starts.add(Date.UTC(made.getUTCFullYear(), made.getUTCMonth()))
  }
  return [...starts].sort((a, b) => a - b).map(monthAt)
}

/** The month that begins at `from`. */
function monthAt(from: number): Month {
  const start = new Date(from)
  return {
    name: start.toISOString().slice(0, 7).replace('-', '_'),
    from,
    to: Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1),
  }
}
