import { sql } from 'kysely'
import { columnsOf, type Row, type TableName } from '../../src/db/tables.ts'
import type { Stele } from '../../src/stele.ts'

/** Every row of a table, in the order of its columns. */
export async function rowsOf<T extends TableName>(
  stele: Pick<Stele, 'database'>,
  table: T,
): Promise<Row<T>[]> {
  const order = columnsOf(table).join(', ')
  const { rows } = await sql<Row<T>>`SELECT * FROM ${sql.table(table)} ORDER BY ${sql.raw(order)}`.execute(
    stele.database.kysely,
  )
  return rows
}

export async function countOf(stele: Pick<Stele, 'database'>, table: TableName): Promise<number> {
  const { rows } = await sql<{ count: number }>`SELECT count(*) AS count FROM ${sql.table(table)}`.execute(
    stele.database.kysely,
  )
  return rows[0]?.count ?? 0
}

const storingTables = ['messages', 'llm_requests', 'llm_responses'] as const

/** Bytes of every value in the tables that grow with what is said. */
export async function storedBytes(stele: Stele): Promise<number> {
  let total = 0
  for (const table of storingTables) {
    for (const row of await rowsOf(stele, table)) {
      for (const value of Object.values(row)) total += sizeOf(value)
    }
  }
  return total
}

function sizeOf(value: string | number | Uint8Array | null): number {
  if (value === null) return 0
  if (typeof value === 'number') return 8
  return typeof value === 'string' ? Buffer.byteLength(value) : value.byteLength
}
