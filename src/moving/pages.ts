import { type Kysely, type RawBuilder, sql } from 'kysely'
import { columnsOf, kindOf, primaryKeys, type TableName, type Tables } from '../db/tables.ts'

/** A page holds so many rows at most, and so many bytes of content unless a single row has more. */
const pageRows = 1_000
const pageBytes = 8 * 1024 * 1024

/** Where in a table's key order one stands: the values of its primary key. */
export type Key = readonly (string | number)[]

export interface Stretch {
  /** Only rows behind this key. */
  readonly after?: Key | undefined
  /** Only rows up to and including this key. */
  readonly upTo?: Key | undefined
  /** Only rows of this user. */
  readonly userId?: string | undefined
}

/**
 * The rows of a table in key order, a page at a time, in memory that does not grow with the table. Every database orders
 * keys by code point, so the order is the same everywhere.
 */
export async function* pagesOf<T extends TableName>(
  db: Kysely<Tables>,
  table: T,
  { after, upTo, userId }: Stretch = {},
): AsyncGenerator<readonly Tables[T][]> {
  for (let last = after; ; ) {
    const end = await pageEnd(db, table, { after: last, upTo, userId })
    const { rows } = await sql<Tables[T]>`
      SELECT ${columnList(columnsOf(table))} FROM ${sql.table(table)}
      ${within(table, { after: last, upTo: end ?? upTo, userId })} ORDER BY ${keyColumns(table)} LIMIT ${pageRows}`.execute(
      db,
    )
    if (rows.length > 0) yield rows
    if (end === undefined && rows.length < pageRows) return
    const lastRow = rows.at(-1)
    if (lastRow === undefined) return
    last = keyOf(table, lastRow)
  }
}

/** The highest key of a table; undefined when it is empty. */
export async function highestKey(db: Kysely<Tables>, table: TableName): Promise<Key | undefined> {
  const descending = sql.join(primaryKeys[table].map(column => sql`${sql.ref(column)} DESC`))
  const { rows } = await sql<Record<string, string | number>>`
    SELECT ${keyColumns(table)} FROM ${sql.table(table)} ORDER BY ${descending} LIMIT 1`.execute(db)
  return rows[0] && Object.values(rows[0])
}

export async function countRows(
  db: Kysely<Tables>,
  table: TableName,
  stretch: Stretch = {},
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    SELECT count(*) AS count FROM ${sql.table(table)} ${within(table, stretch)}`.execute(db)
  return rows[0]?.count ?? 0
}

/** Takes a stretch of a table away. */
export async function removeRows(db: Kysely<Tables>, table: TableName, stretch: Stretch): Promise<void> {
  await sql`DELETE FROM ${sql.table(table)} ${within(table, stretch)}`.execute(db)
}

export function keyOf<T extends TableName>(table: T, row: Tables[T]): Key {
  return primaryKeys[table].map(column => row[column as keyof Tables[T]] as string | number)
}

/**
 * The key at which a page must end because of its bytes; undefined when its rows are few and small enough. Sizes are
 * asked for first: a thousand rows may be as many kilobytes, or gigabytes.
 */
async function pageEnd(db: Kysely<Tables>, table: TableName, stretch: Stretch): Promise<Key | undefined> {
  const large = columnsOf(table).filter(column => kindOf(table, column) === 'bytes')
  if (large.length === 0) return undefined
  const size = sql.join(
    large.map(column => sql`coalesce(octet_length(${sql.ref(column)}), 0)`),
    sql` + `,
  )
  const { rows } = await sql<Record<string, string | number> & { stele_size: number }>`
    SELECT ${keyColumns(table)}, ${size} AS stele_size FROM ${sql.table(table)}
    ${within(table, stretch)} ORDER BY ${keyColumns(table)} LIMIT ${pageRows}`.execute(db)
  let bytes = 0
  for (const { stele_size, ...key } of rows) {
    bytes += stele_size
    if (bytes >= pageBytes) return Object.values(key)
  }
  return undefined
}

function within(table: TableName, { after, upTo, userId }: Stretch): RawBuilder<unknown> {
  const key = sql`(${keyColumns(table)})`
  const conditions = [
    ...(after === undefined ? [] : [sql`${key} > (${sql.join([...after])})`]),
    ...(upTo === undefined ? [] : [sql`${key} <= (${sql.join([...upTo])})`]),
    ...(userId === undefined ? [] : [sql`${sql.ref(table === 'users' ? 'id' : 'user_id')} = ${userId}`]),
  ]
  // Follows from the two bounds, but a planner needs it said to leave out the partitions it rules out.
  const [first] = after ?? []
  if (first !== undefined && first === upTo?.[0])
    conditions.push(sql`${sql.ref(primaryKeys[table][0])} = ${first}`)
  return conditions.length === 0 ? sql`` : sql`WHERE ${sql.join(conditions, sql` AND `)}`
}

function keyColumns(table: TableName): RawBuilder<unknown> {
  return columnList(primaryKeys[table])
}

function columnList(columns: readonly string[]): RawBuilder<unknown> {
  return sql.join(columns.map(column => sql.ref(column)))
}
