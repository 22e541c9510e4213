import { type Kysely, sql } from 'kysely'
import type { Database } from '../db/database.ts'
import { type Tables, tableNames } from '../db/tables.ts'

/** Whether no table of Stele's holds a row; tables that are not there hold none. */
export async function isEmpty(database: Database, db: Kysely<Tables> = database.kysely): Promise<boolean> {
  for (const table of tableNames) {
    if (!(await database.hasTable(db, table))) continue
    const { rows } = await sql`SELECT 1 FROM ${sql.table(table)} LIMIT 1`.execute(db)
    if (rows.length > 0) return false
  }
  return true
}
