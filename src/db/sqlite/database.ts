import { existsSync } from 'node:fs'
import { Kysely, sql } from 'kysely'
import { reasonOf, SteleError } from '../../errors.ts'
import type { Database, DatabaseSettings, FailureKind, Finding } from '../database.ts'
import type { DatabaseLocation } from '../database-url.ts'
import type { SchemaTypes } from '../schema-types.ts'
import type { Tables } from '../tables.ts'
import { sqliteBatch } from './batch.ts'
import { type SqliteAccess, SqliteConnection } from './connection.ts'
import { sqliteDialect } from './dialect.ts'
import { databaseFile } from './file.ts'

const schemaTypes: SchemaTypes = {
  name: 'sqlite',
  text: 'TEXT',
  integer: 'INTEGER',
  bytes: 'BLOB',
  clustered: ' WITHOUT ROWID',
  partitionedBy: () => '',
  afterPartitioned: () => [],
}

export function openSqlite(
  location: Extract<DatabaseLocation, { kind: 'sqlite' }>,
  settings: DatabaseSettings,
  access: SqliteAccess = 'write',
): Database {
  const connection = new SqliteConnection(location, settings.onSql, access)
  const kysely = new Kysely<Tables>({
    dialect: sqliteDialect(connection, access === 'write' ? 'BEGIN IMMEDIATE' : 'BEGIN DEFERRED'),
  })
  const batch = sqliteBatch(connection)
  return {
    location,
    // A memory database lives in the thread that opened it.
    capabilities: { blockingWrites: !location.inMemory, concurrentBatches: 1 },
    schemaTypes,
    file: location.inMemory ? undefined : databaseFile(location),
    backupAdvice: 'It lives in the memory of one process, and ends with it.',
    exists: () => location.inMemory || existsSync(location.path),
    kysely,
    batch: work =>
      connection.hold(async () => {
        connection.prepare('BEGIN IMMEDIATE').run()
        try {
          const result = await work(batch)
          connection.prepare('COMMIT').run()
          return result
        } catch (error) {
          rollBack(connection)
          throw error
        }
      }),
    snapshot: work =>
      // A memory database has but one connection: while it is held nobody else writes. A file that never changes is its
      // own snapshot.
      location.inMemory || access === 'unchanging'
        ? kysely.transaction().execute(work)
        : snapshot(location, settings, work),
    exclusively: work => kysely.transaction().execute(work),
    async hasTable(db, name) {
      const { rows } = await sql`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ${name}`.execute(
        db,
      )
      return rows.length > 0
    },
    ensureStorage: async () => [],
    ensureStorageFor: async () => undefined,
    classify,
    describeSchema: () => describeSchema(kysely),
    examine: () => examine(kysely),
    close: () => kysely.destroy().finally(() => connection.close()),
  }
}

/** A connection of its own, so that writers go on meanwhile: what it reads stays as it was at its first statement. */
async function snapshot<R>(
  location: Extract<DatabaseLocation, { kind: 'sqlite' }>,
  settings: DatabaseSettings,
  work: (db: Kysely<Tables>) => Promise<R>,
): Promise<R> {
  const connection = new SqliteConnection(location, settings.onSql, 'read')
  const kysely = new Kysely<Tables>({ dialect: sqliteDialect(connection, 'BEGIN DEFERRED') })
  try {
    return await kysely.transaction().execute(work)
  } finally {
    await kysely.destroy()
  }
}

function rollBack(connection: SqliteConnection): void {
  try {
    connection.prepare('ROLLBACK').run()
  } catch {
    // SQLite has rolled back by itself already (disk full, I/O error): the first error is the one to report.
  }
}

/** Primary result codes, https://sqlite.org/rescode.html */
const rejectedCodes = new Set([1, 18, 19, 20, 25])

function classify(error: unknown): FailureKind {
  const code = (error as { errcode?: number } | null)?.errcode
  if (error instanceof SteleError) {
    return error.code === 'database_not_writable' || error.code === 'store_unavailable'
      ? 'unavailable'
      : 'rejected'
  }
  if (code === undefined) return 'rejected'
  // A lock that outlasted the busy timeout counts as unavailable: within Stele there is one writer, so it is a stranger's.
  return rejectedCodes.has(code & 0xff) ? 'rejected' : 'unavailable'
}

async function describeSchema(db: Kysely<Tables>): Promise<string[]> {
  const { rows } = await sql<{ type: string; name: string; sql: string }>`
    SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name`.execute(
    db,
  )
  return rows.map(row => row.sql.replace(/\s+/g, ' '))
}

async function examine(db: Kysely<Tables>): Promise<Finding[]> {
  const pragma = async (name: string): Promise<string> => {
    const { rows } = await sql.raw<Record<string, unknown>>(`PRAGMA ${name}`).execute(db)
    return rows.map(row => String(Object.values(row)[0])).join(', ')
  }
  try {
    const { rows } = await sql<{ version: string }>`SELECT sqlite_version() AS version`.execute(db)
    const journal = await pragma('journal_mode')
    const synchronous = await pragma('synchronous')
    const check = await pragma('quick_check(10)')
    return [
      { name: 'SQLite version', value: rows[0]?.version ?? 'unknown', ok: true },
      { name: 'journal_mode', value: journal, ok: journal === 'wal' || journal === 'memory' },
      { name: 'synchronous', value: synchronous === '2' ? 'full' : synchronous, ok: synchronous === '2' },
      { name: 'quick_check', value: check, ok: check === 'ok' },
    ]
  } catch (error) {
    return [{ name: 'integrity', value: reasonOf(error), ok: false }]
  }
}
