import { sql } from 'kysely'
import { openDatabase } from '../../src/db/database.ts'
import { migrateUp } from '../../src/db/migrate.ts'

/**
 * Makes a database in which events and what is queued of them go nowhere: views stand for the two tables, and what is inserted into
 * them is dropped. What a store there spends on events is their form alone.
 */
export async function makeWithoutEvents(databaseUrl: string): Promise<void> {
  const database = openDatabase(databaseUrl)
  try {
    await migrateUp(database)
    const drop =
      database.schemaTypes.name === 'postgres'
        ? (table: string) => `CREATE RULE ${table}_dropped AS ON INSERT TO ${table} DO INSTEAD NOTHING`
        : (table: string) =>
            `CREATE TRIGGER ${table}_dropped INSTEAD OF INSERT ON ${table} BEGIN SELECT 1; END`
    for (const table of ['audit_events', 'audit_queue'])
      for (const statement of [
        `ALTER TABLE ${table} RENAME TO ${table}_kept`,
        `CREATE VIEW ${table} AS SELECT * FROM ${table}_kept`,
        drop(table),
      ])
        await sql.raw(statement).execute(database.kysely)
  } finally {
    await database.close()
  }
}
