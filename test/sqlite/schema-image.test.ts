import { sql } from 'kysely'
import { expect, test } from 'vitest'
import type { Database } from '../../src/db/database.ts'
import { knownMigrations, migrateUp, migrationHistory } from '../../src/db/migrate.ts'
import { memoryPlace, sqlitePlace } from '../harness/databases.ts'

/** Every row of every table, but for when migrations were applied. */
async function rowsOf({ kysely }: Database): Promise<Record<string, unknown[]>> {
  const { rows: tables } = await sql<{ name: string }>`
    SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite_%'
    ORDER BY name`.execute(kysely)
  const found: Record<string, unknown[]> = {}
  for (const { name } of tables) {
    const { rows } = await sql<Record<string, unknown>>`SELECT * FROM ${sql.table(name)}`.execute(kysely)
    found[name] = rows.map(({ applied_at: _, ...row }) => row)
  }
  return found
}

test('a database in memory is what migrations make of a file, whether it is the first of its process or a later one', async () => {
  const file = (await sqlitePlace()).database()
  await migrateUp(file)
  const names = (await knownMigrations()).map(({ name }) => name)
  const rows = await rowsOf(file)
  expect(rows['stele_migrations']).toHaveLength(names.length)
  for (let turn = 0; turn < 3; turn++) {
    const statements: string[] = []
    const memory = (await memoryPlace()).database({ onSql: statement => void statements.push(statement) })
    const startedAt = Date.now()
    expect(await migrateUp(memory)).toEqual(names)
    if (turn > 0) expect(statements.filter(statement => statement.startsWith('ALTER'))).toEqual([])
    expect(await migrateUp(memory)).toEqual([])
    expect(await memory.describeSchema()).toEqual(await file.describeSchema())
    expect(await rowsOf(memory)).toEqual(rows)
    for (const { appliedAt } of await migrationHistory(memory))
      expect(appliedAt).toBeGreaterThanOrEqual(startedAt)
    const { rows: check } = await sql`PRAGMA integrity_check`.execute(memory.kysely)
    expect(check).toEqual([{ integrity_check: 'ok' }])
  }
})

test('one that is migrated only so far, or has tables already, is migrated step by step', async () => {
  await migrateUp((await memoryPlace()).database())
  const names = (await knownMigrations()).map(({ name }) => name)
  const partly = (await memoryPlace()).database()
  expect(await migrateUp(partly, { target: 3 })).toEqual(names.slice(0, 3))
  expect(await migrateUp(partly)).toEqual(names.slice(3))
  const file = (await sqlitePlace()).database()
  await migrateUp(file)
  expect(await partly.describeSchema()).toEqual(await file.describeSchema())
})
