import { type CompiledQuery, type Kysely, sql } from 'kysely'
import type { SchemaImage } from '../database.ts'
import type { Tables } from '../tables.ts'

/** What there is after all migrations of an empty database: how everything is made, tables first, and the few rows. */
interface Image {
  readonly tables: readonly string[]
  readonly rows: readonly CompiledQuery[]
  readonly others: readonly string[]
}

let image: Image | undefined

/**
 * Whoever tests with databases in memory opens one after the other. All migrations take some 25 ms each time, most of it in changes of
 * columns, which look at the whole schema; making once what came of them takes a quarter.
 */
export const schemaImage: SchemaImage = {
  async keep(tx) {
    image = await readImage(tx)
  },
  async restore(tx) {
    if (image === undefined) return false
    const { tables, rows, others } = image
    for (const statement of tables) await sql.raw(statement).execute(tx)
    for (const row of rows) await tx.executeQuery(row)
    for (const statement of others) await sql.raw(statement).execute(tx)
    return true
  },
}

async function readImage(tx: Kysely<Tables>): Promise<Image> {
  // Shadow tables are made by the virtual table that they belong to.
  const { rows: made } = await sql<{ name: string; sql: string; kind: string | null }>`
    SELECT s.name, s.sql, l.type AS kind FROM sqlite_schema s
    LEFT JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name AND s.type = 'table'
    WHERE s.sql IS NOT NULL AND s.name NOT LIKE 'sqlite_%' AND coalesce(l.type, '') <> 'shadow' ORDER BY s.rowid`.execute(
    tx,
  )
  const rows: CompiledQuery[] = []
  for (const { name } of made.filter(({ kind }) => kind === 'table')) {
    const found = await sql<Record<string, unknown>>`SELECT * FROM ${sql.table(name)}`.execute(tx)
    for (const row of found.rows) {
      const columns = sql.join(Object.keys(row).map(column => sql.ref(column)))
      const values = sql.join(Object.values(row))
      rows.push(sql`INSERT INTO ${sql.table(name)} (${columns}) VALUES (${values})`.compile(tx))
    }
  }
  const statements = (isTable: boolean): string[] =>
    made.filter(({ kind }) => (kind !== null) === isTable).map(one => one.sql)
  return { tables: statements(true), rows, others: statements(false) }
}
