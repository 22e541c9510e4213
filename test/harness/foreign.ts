import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { inject, onTestFinished } from 'vitest'
import type { ImportForeignOptions } from '../../src/moving/foreign/import-foreign.ts'
import { type BedName, onServer, temporaryFolder } from './databases.ts'
import { schemas } from './foreign-schemas.ts'

export type TableFormat = keyof typeof schemas

export type Cell = string | number | bigint | null | Uint8Array

/** A real database of another program, made for one test. */
export interface ForeignPlace {
  /** How it is named to an import. */
  readonly options: Pick<ImportForeignOptions, 'from' | 'schema'>
  insert(table: string, rows: readonly Readonly<Record<string, Cell>>[]): Promise<void>
  run(statement: string): Promise<void>
  /** Rows of every table. */
  counts(): Promise<Record<string, number>>
}

/** A database with the tables of a program, as its own description of them says. */
export async function foreignPlace(format: TableFormat, kind: BedName): Promise<ForeignPlace> {
  const place = kind === 'PostgreSQL' ? await postgresSource() : await sqliteSource()
  for (const statement of schemas[format](kind === 'PostgreSQL' ? postgresTypes : sqliteTypes))
    await place.run(statement)
  return place
}

/** How the types of SQLAlchemy are made in a database. */
export interface ForeignTypes {
  readonly counter: string
  readonly uuid: string
  readonly time: string
  readonly timeZone: string
  readonly date: string
  readonly json: string
  readonly bytes: string
  readonly float: string
  readonly money: string
  readonly boolean: string
}

const sqliteTypes: ForeignTypes = {
  counter: 'INTEGER PRIMARY KEY AUTOINCREMENT',
  uuid: 'CHAR(36)',
  time: 'TIMESTAMP DEFAULT CURRENT_TIMESTAMP',
  timeZone: 'DATETIME DEFAULT CURRENT_TIMESTAMP',
  date: 'DATE',
  json: 'JSON',
  bytes: 'BLOB',
  float: 'FLOAT',
  money: 'NUMERIC(12, 6)',
  boolean: 'BOOLEAN',
}

const postgresTypes: ForeignTypes = {
  counter: 'SERIAL PRIMARY KEY',
  uuid: 'UUID',
  time: 'TIMESTAMP DEFAULT CURRENT_TIMESTAMP',
  timeZone: 'TIMESTAMP WITH TIME ZONE DEFAULT now()',
  date: 'DATE',
  json: 'JSON',
  bytes: 'BYTEA',
  float: 'DOUBLE PRECISION',
  money: 'NUMERIC(12, 6)',
  boolean: 'BOOLEAN',
}

async function sqliteSource(): Promise<ForeignPlace> {
  const path = join(await temporaryFolder(), 'source.db')
  const database = new DatabaseSync(path)
  onTestFinished(() => database.close())
  // As a program has it that is still writing to it.
  database.exec('PRAGMA journal_mode = WAL; PRAGMA foreign_keys = OFF')
  return {
    options: { from: `sqlite+aiosqlite:///${path}` },
    async insert(table, rows) {
      for (const row of rows) {
        const columns = Object.keys(row)
        const statement = `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`
        database.prepare(statement).run(...Object.values(row))
      }
    },
    async run(statement) {
      database.exec(statement)
    },
    async counts() {
      const tables = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .all()
      const counted = tables.map(({ name }) => {
        const row = database.prepare(`SELECT count(*) AS count FROM ${String(name)}`).get()
        return [String(name), Number(row?.['count'])] as const
      })
      return Object.fromEntries(counted)
    },
  }
}

async function postgresSource(): Promise<ForeignPlace> {
  const schema = `source_${randomBytes(8).toString('hex')}`
  await onServer(`CREATE SCHEMA ${schema}`)
  const client = new pg.Client({
    connectionString: inject('postgresUrl'),
    options: `-c search_path=${schema} -c timezone=UTC`,
  })
  await client.connect()
  onTestFinished(async () => {
    await client.end()
    await onServer(`DROP SCHEMA ${schema} CASCADE`)
  })
  return {
    options: { from: inject('postgresUrl').replace(/^postgres(ql)?:/, 'postgresql+asyncpg:'), schema },
    async insert(table, rows) {
      for (const row of rows) {
        const columns = Object.keys(row)
        const values = columns.map((_column, index) => `$${index + 1}`)
        await client.query(
          `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${values.join(', ')})`,
          Object.values(row),
        )
      }
    },
    async run(statement) {
      await client.query(statement)
    },
    async counts() {
      const { rows } = await client.query<{ name: string }>(
        'SELECT tablename AS name FROM pg_tables WHERE schemaname = $1',
        [schema],
      )
      const counted: [string, number][] = []
      for (const { name } of rows) {
        const { rows: found } = await client.query<{ count: string }>(`SELECT count(*) AS count FROM ${name}`)
        counted.push([name, Number(found[0]?.count)])
      }
      return Object.fromEntries(counted)
    },
  }
}
