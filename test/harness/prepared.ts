import { randomBytes } from 'node:crypto'
import { constants, copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { inject } from 'vitest'
import { openDatabase } from '../../src/db/database.ts'
import { migrateUp } from '../../src/db/migrate.ts'
import { up } from '../../src/db/migrations/0025-immutability.ts'
import type {} from './global-setup.ts'

/**
 * Databases with all tables and nothing in them. To migrate takes a quarter of a second on PostgreSQL, and most tests want
 * a migrated database: so on SQLite a file that was migrated once is copied, and on PostgreSQL a schema is emptied
 * and lent again, unless its tables or their layout are no longer as they were made.
 */

let template: Promise<string> | undefined

/** Makes a migrated file at `path`, where none is yet. */
export async function copyPrepared(path: string): Promise<void> {
  template ??= makeTemplate()
  await copyFile(await template, path, constants.COPYFILE_EXCL)
}

async function makeTemplate(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'stele-test-template-'))
  process.once('exit', () => void rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'template.db')
  const database = openDatabase(`sqlite:${path}`, {})
  await migrateUp(database)
  await database.close()
  return path
}

/** A migrated schema of the shared server. */
export interface LentSchema {
  readonly name: string
  /** How it was when it was made, to be compared with how it is given back. */
  readonly layout: string
}

const free: LentSchema[] = []

export async function lendSchema(): Promise<LentSchema> {
  const lent = free.pop()
  if (lent !== undefined) return lent
  const name = newSchemaName()
  const database = openDatabase(inject('postgresUrl'), { schema: name, poolSize: 1 })
  try {
    await migrateUp(database)
  } finally {
    await database.close()
  }
  return { name, layout: await withServer(client => layoutOf(client, name)) }
}

export function newSchemaName(): string {
  return `test_${randomBytes(8).toString('hex')}`
}

/** Rows in a schema beyond which it is made anew: what is deleted stays in its files for a while. */
const mostRows = 1_000

export async function takeBack({ name, layout }: LentSchema): Promise<void> {
  await withServer(async client => {
    const isAsMade = async (): Promise<boolean> => (await layoutOf(client, name)) === layout
    const isSound = (await isAsMade()) || ((await isGuardedAgain(client, name)) && (await isAsMade()))
    if (isSound && (await emptied(client, name)) <= mostRows) free.push({ name, layout })
    else await client.query(`DROP SCHEMA IF EXISTS ${name} CASCADE`)
  })
}

/** Makes the guards that a test has dropped, which takes a tenth of making a schema; false where it dropped others, or none. */
async function isGuardedAgain(client: pg.Client, schema: string): Promise<boolean> {
  const statements = [
    `SET LOCAL search_path TO ${schema}`,
    ...up(openDatabase(inject('postgresUrl'), {}).schemaTypes),
  ]
  try {
    await client.query(statements.join('; '))
    return true
  } catch {
    return false
  }
}

async function layoutOf(client: pg.Client, schema: string): Promise<string> {
  const { rows } = await client.query<{ layout: string }>(
    `WITH own AS MATERIALIZED (SELECT oid, relname, relkind FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1))
     SELECT md5(string_agg(line, ',' ORDER BY line)) AS layout FROM (
       SELECT concat_ws(' ', own.relname, own.relkind, a.columns, g.triggers) AS line
       FROM own
       LEFT JOIN LATERAL (SELECT string_agg(concat_ws(':', attname, atttypid, attnotnull), ' ' ORDER BY attnum) AS columns FROM pg_attribute
                          WHERE attrelid = own.oid AND attnum > 0 AND own.relkind IN ('r', 'p')) a ON true
       LEFT JOIN LATERAL (SELECT string_agg(tgname::text, ' ' ORDER BY tgname) AS triggers FROM pg_trigger WHERE tgrelid = own.oid) g ON true) AS lines`,
    [schema],
  )
  return rows[0]?.layout ?? ''
}

/** The tables that tests fill: the same in every schema whose layout is as it was made. */
let filled: Promise<readonly string[]> | undefined

async function filledTables(client: pg.Client, schema: string): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'stele_migrations'`,
    [schema],
  )
  return rows.map(({ name }) => name)
}

/** Deletes every row but those that say what is migrated; resolves with how many there were. */
async function emptied(client: pg.Client, schema: string): Promise<number> {
  filled ??= filledTables(client, schema)
  const statements = (await filled).map(name => `DELETE FROM ${schema}.${name}`)
  // Together they are one transaction, which gives the reason for which every guard lets rows go.
  statements.unshift("SELECT set_config('stele.change_reason', 'copy', true)")
  const results = (await client.query(statements.join('; '))) as unknown as readonly pg.QueryResult[]
  return results.reduce((sum, { rowCount }) => sum + (rowCount ?? 0), 0)
}

let connected: Promise<pg.Client> | undefined

/** Runs something on the shared server, outside every place: over one connection, which keeps no process alive. */
export async function withServer<R>(work: (client: pg.Client) => Promise<R>): Promise<R> {
  connected ??= connect()
  return work(await connected)
}

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: inject('postgresUrl') })
  const forget = (): void => {
    connected = undefined
  }
  client.on('error', forget)
  client.on('end', forget)
  await client.connect()
  ;(client as pg.Client & { unref(): void }).unref()
  return client
}
