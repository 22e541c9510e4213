import { hash } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'

/** The table that marks an unfinished copy. No migration makes it: it is there only while a copy is under way. */
const mark = 'stele_copy'

export interface CopyState {
  /** The source in words. */
  readonly source: string
  /** What tells the source from every other database. */
  readonly identity: string
}

export async function readCopyState(
  database: Database,
  db: Kysely<Tables> = database.kysely,
): Promise<CopyState | undefined> {
  if (!(await database.hasTable(db, mark))) return undefined
  const { rows } = await sql<CopyState>`SELECT source, identity FROM ${sql.table(mark)}`.execute(db)
  return rows[0]
}

export async function markCopy(database: Database, { source, identity }: CopyState): Promise<void> {
  const { text } = database.schemaTypes
  await database.exclusively(async tx => {
    const columns = sql.raw(`source ${text} NOT NULL, identity ${text} NOT NULL`)
    await sql`CREATE TABLE ${sql.table(mark)} (${columns})`.execute(tx)
    await sql`INSERT INTO ${sql.table(mark)} (source, identity) VALUES (${source}, ${identity})`.execute(tx)
  })
}

export async function unmarkCopy(database: Database): Promise<void> {
  await sql`DROP TABLE ${sql.table(mark)}`.execute(database.kysely)
}

/** @throws SteleError copy_unfinished: half a record must not be taken for a whole one, nor written on */
export async function refuseUnfinishedCopy(database: Database, db?: Kysely<Tables>): Promise<void> {
  const state = await readCopyState(database, db)
  if (state === undefined) return
  throw new SteleError('copy_unfinished', { database: database.location.display, source: state.source })
}

/** A database is known by its secrets: they are random, made once and never changed. One without any has no records. */
export async function identityOf(db: Kysely<Tables>): Promise<string> {
  const rows = await db.selectFrom('secrets').select(['id', 'wrapped_key']).orderBy('id').execute()
  const texts = rows.map(({ id, wrapped_key }) => [id, Buffer.from(wrapped_key).toString('base64')])
  return hash('sha256', JSON.stringify(texts), 'base64url')
}
