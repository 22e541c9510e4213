import { sql } from 'kysely'
import type { Batch } from '../../src/db/batch.ts'
import type { Database } from '../../src/db/database.ts'
import { columnsOf, type Row, type TableName, type Tables } from '../../src/db/tables.ts'
import type { Stele } from '../../src/stele.ts'
import { writeSealed } from '../../src/store/sealed-batch.ts'

/** Every row of a table, its content readable, in the order of its columns as they are stored. */
export async function rowsOf<T extends TableName>(
  { database }: Pick<Stele, 'database'>,
  table: T,
): Promise<Row<T>[]> {
  return database.contents.open(database.kysely, table, await storedRowsOf(database, table))
}

/** The same as it is stored. */
export async function storedRowsOf<T extends TableName>(
  { kysely }: Pick<Database, 'kysely'>,
  table: T,
): Promise<Tables[T][]> {
  const order = columnsOf(table).join(', ')
  const { rows } = await sql<Tables[T]>`SELECT * FROM ${sql.table(table)} ORDER BY ${sql.raw(order)}`.execute(
    kysely,
  )
  return rows
}

export async function countOf(
  stele: { readonly database: Pick<Database, 'kysely'> },
  table: TableName,
): Promise<number> {
  const { rows } = await sql<{ count: number }>`SELECT count(*) AS count FROM ${sql.table(table)}`.execute(
    stele.database.kysely,
  )
  return rows[0]?.count ?? 0
}

/** One transaction of readable rows. */
export function inBatch<R>(
  { database }: Pick<Stele, 'database'>,
  work: (batch: Batch) => Promise<R>,
): Promise<R> {
  return writeSealed(database, { all: [] }, work)
}

const storingTables = ['messages', 'llm_requests', 'llm_responses'] as const

/** Bytes of every value in the tables that grow with what is said. */
export async function storedBytes(stele: Stele): Promise<number> {
  let total = 0
  for (const table of storingTables) {
    for (const row of await storedRowsOf(stele.database, table)) {
      for (const value of Object.values(row) as (string | number | Uint8Array | null)[])
        total += sizeOf(value)
    }
  }
  return total
}

function sizeOf(value: string | number | Uint8Array | null): number {
  if (value === null) return 0
  if (typeof value === 'number') return 8
  return typeof value === 'string' ? Buffer.byteLength(value) : value.byteLength
}
