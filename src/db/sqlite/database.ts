import { existsSync, statSync } from 'node:fs'
import { CompiledQuery, Kysely, sql } from 'kysely'
import { reasonOf } from '../../errors.ts'
import type { Database, DatabaseSettings, Finding, Reclaimed } from '../database.ts'
import type { DatabaseLocation } from '../database-url.ts'
import type { SchemaTypes } from '../schema-types.ts'
import type { Tables } from '../tables.ts'
import { sqliteBatch } from './batch.ts'
import { SqliteConnection, type SqliteUse } from './connection.ts'
import { sqliteDialect } from './dialect.ts'
import { classify, isDamage } from './failures.ts'
import { damaged, examineFile } from './file.ts'
import { databaseFile } from './file-copy.ts'
import { guards, permitStatement } from './guards.ts'
import { schemaImage } from './schema-image.ts'
import { forgetWords, sqliteSearchReader, unindex } from './search.ts'
import { blindSearchIndex, searchIndex } from './search-tables.ts'

type SqliteLocation = Extract<DatabaseLocation, { kind: 'sqlite' }>

const schemaTypes: SchemaTypes = {
  name: 'sqlite',
  text: 'TEXT',
  integer: 'INTEGER',
  bytes: 'BLOB',
  plainContent: column => `CAST(char(1) || ${column} AS BLOB)`,
  textOfContent: column => `CAST(substr(${column}, 2) AS TEXT)`,
  clustered: ' WITHOUT ROWID',
  partitionedBy: () => '',
  afterPartitioned: () => [],
  searchIndex,
  blindSearchIndex,
  guards,
}

export function openSqlite(
  location: SqliteLocation,
  settings: DatabaseSettings,
  use: SqliteUse = {},
): Database {
  const connection = new SqliteConnection(location, settings.onSql, use)
  const { access = 'write' } = use
  const kysely = new Kysely<Tables>({
    dialect: sqliteDialect(connection, access === 'write' ? 'BEGIN IMMEDIATE' : 'BEGIN DEFERRED'),
  })
  const search = settings.search !== false
  const batch = sqliteBatch(connection, { search })
  const inBatch: Database['batch'] = work =>
    connection.hold(async () => {
      await connection.attempt(() => connection.prepare('BEGIN IMMEDIATE').run())
      try {
        const result = await work(batch)
        await connection.attempt(() => connection.prepare('COMMIT').run())
        return result
      } catch (error) {
        connection.noteFailure(error)
        connection.rollBack()
        throw error
      }
    })
  return {
    location,
    // A memory database lives in the thread that opened it.
    capabilities: {
      blockingWrites: !location.inMemory,
      concurrentBatches: 1,
      mayBeAway: false,
      isShared: !location.inMemory,
      hasOneWriter: true,
    },
    schemaTypes,
    schemaImage: location.inMemory ? schemaImage : undefined,
    exists: () => location.inMemory || existsSync(location.path),
    file: location.inMemory ? undefined : databaseFile(location),
    backupAdvice: 'It lives in the memory of one process, and ends with it.',
    kysely,
    prompt: kysely,
    search: search ? sqliteSearchReader(kysely) : undefined,
    unindex,
    snapshot: work =>
      // A memory database has but one connection: while it is held nobody else writes. A file that never changes is its
      // own snapshot.
      location.inMemory || access === 'unchanging'
        ? kysely.transaction().execute(work)
        : snapshot(location, settings, work),
    batch: inBatch,
    // One transaction at a time writes.
    batchAlone: (_doing, work) => inBatch(work),
    exclusively: work => kysely.transaction().execute(work),
    // A transaction that writes excludes every other.
    holding: (_lock, _how, work) => kysely.transaction().execute(work),
    async permit(tx, reason) {
      await tx.executeQuery(CompiledQuery.raw(permitStatement, [reason]))
    },
    async hasTable(db, name) {
      const { rows } = await sql`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ${name}`.execute(
        db,
      )
      return rows.length > 0
    },
    ensureStorage: async () => [],
    ensureStorageFor: async () => undefined,
    verify: async () => {
      if (!location.inMemory) await verify(kysely, location)
    },
    // A transaction that writes excludes every other from its first statement on.
    forUpdate: sql``,
    storageMonths: async () => [],
    dropMonth: async () => 'kept',
    reclaim: () => reclaim(connection),
    overwriting: work =>
      kysely.transaction().execute(async tx => {
        await sql`PRAGMA secure_delete = ON`.execute(tx)
        try {
          return await work(tx)
        } finally {
          await sql`PRAGMA secure_delete = FAST`.execute(tx)
        }
      }),
    scrub: () => scrub(connection),
    forgetWords: isFirst => forgetWords(connection, isFirst),
    classify,
    // Whoever may write the file may do anything with it.
    grantStatements: () => undefined,
    describeSchema: () => describeSchema(kysely),
    examineStorage: () => (location.inMemory ? [] : examineFile(location)),
    examine: () => examine(kysely),
    // Not by Kysely, which would then say of everything asked for later that a driver is destroyed.
    close: async () => connection.close(),
  }
}

/**
 * SQLite reads some 1.5 GB a second through this check. Beyond this size it would hold up a start, and nothing speaks for
 * it then: a process or a machine that died cannot damage the file (commits are fsynced in order), and what can, a
 * failing disk or another program, may do so at any time. `examine` checks a file of any size.
 */
const checkedBytes = 256 * 1024 * 1024

async function verify(db: Kysely<Tables>, { path, display }: SqliteLocation): Promise<void> {
  try {
    // The first statement makes a file that is not there.
    await sql`SELECT count(*) FROM sqlite_schema`.execute(db)
    if (statSync(path).size > checkedBytes) return
    const { rows } = await sql<{ quick_check: string }>`PRAGMA quick_check(1)`.execute(db)
    const found = rows[0]?.quick_check
    if (found !== 'ok') throw damaged(display, `its pages are not in order (${found?.split('\n').at(-1)})`)
  } catch (error) {
    throw isDamage(error) ? damaged(display, reasonOf(error), error) : error
  }
}

/** A connection of its own, so that writers go on meanwhile: what it reads stays as it was at its first statement. */
async function snapshot<R>(
  location: SqliteLocation,
  settings: DatabaseSettings,
  work: (db: Kysely<Tables>) => Promise<R>,
): Promise<R> {
  const connection = new SqliteConnection(location, settings.onSql, { access: 'read' })
  const kysely = new Kysely<Tables>({ dialect: sqliteDialect(connection, 'BEGIN DEFERRED') })
  try {
    return await kysely.transaction().execute(work)
  } finally {
    await kysely.destroy()
  }
}

/** Pages given back at a time: each is moved and its place written, so this bounds how long a writer waits. */
const pagesAtATime = 128

function reclaim(connection: SqliteConnection): Promise<Reclaimed> {
  // Read to the end: the step is made page by page, while its (empty) result is.
  const run = (pragma: string) => connection.attempt(() => connection.prepare(`PRAGMA ${pragma}`).all())
  const number = async (pragma: string) => Number(Object.values((await run(pragma))[0] ?? {})[0] ?? 0)
  return connection.hold(async () => {
    const pageBytes = await number('page_size')
    const unused = await number('freelist_count')
    if (unused === 0) return { freed: 0, left: 0 }
    await run(`incremental_vacuum(${pagesAtATime})`)
    const left = await number('freelist_count')
    // The file itself becomes shorter when the log is written back to it.
    if (left === 0) await run('wal_checkpoint(PASSIVE)')
    return { freed: (unused - left) * pageBytes, left: left * pageBytes }
  })
}

/** Keys that are written anew at once: some tenths of a second, for which writers wait. */
const mostKeys = 100_000

/**
 * A page that was split keeps, where nothing uses it, what has moved to another, keys included: so the table of keys is
 * emptied, which overwrites all of it, and filled again. The log keeps pages as they were until it is written back.
 */
function scrub(connection: SqliteConnection): Promise<'done' | 'busy' | 'left'> {
  const run = (statement: string) => connection.prepare(statement).all()
  const rewriteKeys = (): boolean => {
    if (Number(run('SELECT count(*) AS count FROM data_keys')[0]?.['count']) > mostKeys) return false
    run('PRAGMA secure_delete = ON')
    try {
      connection.prepare('BEGIN IMMEDIATE').run()
      for (const statement of [
        'CREATE TEMP TABLE kept_keys AS SELECT * FROM data_keys',
        'DELETE FROM data_keys',
        'INSERT INTO data_keys SELECT * FROM kept_keys',
        'DROP TABLE kept_keys',
      ])
        connection.prepare(statement).run()
      connection.prepare('COMMIT').run()
    } finally {
      connection.rollBack()
      run('PRAGMA secure_delete = FAST')
    }
    return true
  }
  return connection.hold(async () => {
    const isRewritten = await connection.attempt(rewriteKeys)
    const [row] = await connection.attempt(() => run('PRAGMA wal_checkpoint(TRUNCATE)'))
    if (row?.['busy'] !== 0) return 'busy'
    return isRewritten ? 'done' : 'left'
  })
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
