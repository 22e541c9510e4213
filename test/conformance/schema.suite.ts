import { readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import type { Database } from '../../src/db/database.ts'
import { tables } from '../../src/db/definitions.ts'
import { migrateUp } from '../../src/db/migrate.ts'
import { columnsOf, derivedTables, kindOf, type TableName } from '../../src/db/tables.ts'
import type { Bed } from '../harness/databases.ts'

export function schemaSuite(bed: Bed): void {
  test('the live schema is the committed one (npm run schema writes it anew)', async () => {
    const database = (await bed.place()).database()
    await migrateUp(database)
    const file = new URL(`../../schema/${database.schemaTypes.name}.txt`, import.meta.url)
    const committed = (await readFile(file, 'utf8')).trimEnd().split('\n')
    expect(await database.describeSchema()).toEqual(committed)
  })

  test('the live tables have exactly the columns that the code knows, of the same kind and nullability', async () => {
    const place = await bed.place()
    const database = place.database()
    await migrateUp(database)
    const live = await columnsIn(database, place.schema)
    for (const name of Object.keys(tables) as TableName[]) {
      const columns = live
        .filter(({ table }) => table === name)
        .map(({ column, type, nullable }) => ({
          name: column,
          kind: kinds[type.toLowerCase()],
          // SQLite lets a text primary key be null unless told otherwise; the code never writes one.
          nullable: Boolean(nullable) && column !== 'id',
        }))
      expect(columns, name).toEqual(
        columnsOf(name).map(column => ({
          name: column,
          kind: kindOf(name, column),
          nullable: (tables[name] as Record<string, { nullable: boolean }>)[column]?.nullable,
        })),
      )
    }
  })

  test('the live schema has no table that the code does not know', async () => {
    const stele = await (await bed.place()).stele()
    const lines = await stele.database.describeSchema()
    const known = [...Object.keys(tables), ...derivedTables, 'stele_migrations']
    const found = lines.flatMap(
      line => /^(?:CREATE TABLE (?:IF NOT EXISTS )?|table )(\w+)/.exec(line)?.[1] ?? [],
    )
    expect([...new Set(found)].sort()).toEqual(known.sort())
  })

  test('examination finds nothing to object to in a fresh store', async () => {
    const stele = await (await bed.place()).stele()
    const findings = await stele.database.examine()
    expect(findings.length).toBeGreaterThan(3)
    expect(findings.filter(({ ok }) => !ok)).toEqual([])
  })
}

interface Column {
  readonly table: string
  readonly column: string
  readonly type: string
  readonly nullable: boolean | number
}

/** Not by Kysely's introspection, which fails on PostgreSQL when another test drops its schema meanwhile. */
async function columnsIn({ kysely }: Database, schema: string | undefined): Promise<Column[]> {
  const query =
    schema === undefined
      ? sql<Column>`SELECT m.name AS "table", c.name AS "column", c.type, c."notnull" = 0 AS nullable
          FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid`
      : sql<Column>`SELECT table_name AS "table", column_name AS "column", udt_name AS type, is_nullable = 'YES' AS nullable
          FROM information_schema.columns WHERE table_schema = ${schema} ORDER BY table_name, ordinal_position`
  return (await query.execute(kysely)).rows
}

const kinds: Record<string, string> = {
  text: 'text',
  integer: 'integer',
  int8: 'integer',
  blob: 'bytes',
  bytea: 'bytes',
}
