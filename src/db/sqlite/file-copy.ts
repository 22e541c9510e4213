import { existsSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { backup, DatabaseSync } from 'node:sqlite'
import { reasonOf, SteleError } from '../../errors.ts'
import type { DatabaseFile } from '../database.ts'
import type { DatabaseLocation } from '../database-url.ts'
import { flushToDisk } from '../flush.ts'
import { openForReading } from './connection.ts'
import { createPrivately } from './file.ts'

/** Pages copied between two reports: some hundred kilobytes, about a millisecond. */
const pagesAtATime = 100

/** SQLITE_BUSY, SQLITE_CORRUPT and SQLITE_NOTADB, https://sqlite.org/rescode.html */
const code = { busy: 5, corrupt: 11, notADatabase: 26 } as const

/** Files that SQLite keeps beside a database while it is in use. */
const companions = ['-wal', '-shm', '-journal'] as const

export function databaseFile({ path, display }: Extract<DatabaseLocation, { kind: 'sqlite' }>): DatabaseFile {
  return {
    path,
    copyTo: (to, onProgress) => copyOnline(path, display, to, onProgress),
    removeKeys: () => removeKeys(path),
    damage: () => damageOf(path, display),
    hasPendingChanges: () => companions.some(ending => isFilled(path + ending)),
    replaceWith: from => replace(path, display, from),
    compact: () => compact(path, display),
  }
}

async function copyOnline(
  path: string,
  display: string,
  to: string,
  onProgress: ((done: number, total: number) => void) | undefined,
): Promise<void> {
  const database = openForReading(path, display, 'read')
  try {
    try {
      createPrivately(to)
    } catch (error) {
      throw notWritable(to, error)
    }
    // An open read transaction keeps the state of this moment. Without one SQLite starts over whenever another connection
    // commits (https://sqlite.org/backup.html), and beside a busy gateway the copy would never end.
    database.exec('BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1')
    try {
      const pages = await backup(database, to, {
        rate: pagesAtATime,
        progress: ({ totalPages, remainingPages }) => onProgress?.(totalPages - remainingPages, totalPages),
      })
      onProgress?.(pages, pages)
      flushToDisk(to)
    } catch (error) {
      removeCompanions(to)
      throw notWritable(to, error)
    }
  } finally {
    database.close()
  }
}

/** The table is emptied whole, which overwrites all of its pages, before what says that keys are destroyed is put back. */
function removeKeys(path: string): void {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec('PRAGMA journal_mode = DELETE; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON')
    database.exec(`BEGIN EXCLUSIVE;
      CREATE TEMP TABLE destroyed_keys AS SELECT * FROM data_keys WHERE wrapped_key IS NULL;
      DELETE FROM data_keys;
      INSERT INTO data_keys SELECT * FROM destroyed_keys;
      COMMIT`)
    database.prepare('PRAGMA incremental_vacuum').all()
  } catch (error) {
    throw notWritable(path, error)
  } finally {
    database.close()
  }
  flushToDisk(path)
}

function damageOf(path: string, display: string): string | undefined {
  const database = openForReading(path, display, 'unchanging')
  try {
    const rows = database.prepare('PRAGMA integrity_check(1)').all()
    const found = Object.values(rows[0] ?? {})[0]
    return found === 'ok' ? undefined : String(found)
  } catch (error) {
    return reasonOf(error)
  } finally {
    database.close()
  }
}

function replace(path: string, display: string, from: string): void {
  const release = lockOut(path, display)
  try {
    // A log that was left beside the old file would be applied to the new one.
    removeCompanions(path)
    renameSync(from, path)
    flushToDisk(dirname(path))
  } catch (error) {
    throw notWritable(path, error)
  } finally {
    release()
  }
}

function compact(path: string, display: string): void {
  if (!isFilled(path)) return
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    // Without the log, as the only one who has the file open, and with a journal that undoes what is not finished.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE; COMMIT')
    rewriteWords(database)
    database.exec('PRAGMA synchronous = FULL; PRAGMA auto_vacuum = INCREMENTAL; VACUUM')
  } catch (error) {
    if (primaryCode(error) === code.busy)
      throw new SteleError('database_in_use', { database: display }, { cause: error })
    throw notWritable(path, error)
  } finally {
    database.close()
  }
}

/** The search index keeps words of what was taken out of it until it merges the parts that they are in. */
function rewriteWords(database: DatabaseSync): void {
  const has = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'message_words'").get()
  if (has !== undefined) database.exec("INSERT INTO message_words (message_words) VALUES ('optimize')")
}

/**
 * Keeps everyone else out of the file until the returned function is called. Leaving the write-ahead log is what SQLite
 * allows only to the last connection: so it tells whether there are others, and folds what the log holds into the file.
 */
function lockOut(path: string, display: string): () => void {
  if (!isFilled(path)) return () => undefined
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    const primary = primaryCode(error)
    if (primary === code.busy)
      throw new SteleError('database_in_use', { database: display }, { cause: error })
    // What SQLite cannot read, no process of Stele has open.
    if (primary !== code.corrupt && primary !== code.notADatabase) throw error
    return () => undefined
  }
  return () => database.close()
}

function primaryCode(error: unknown): number {
  return ((error as { errcode?: number }).errcode ?? 0) & 0xff
}

function removeCompanions(path: string): void {
  for (const ending of companions) rmSync(path + ending, { force: true })
}

function isFilled(path: string): boolean {
  return existsSync(path) && statSync(path).size > 0
}

function notWritable(path: string, error: unknown): SteleError {
  if (error instanceof SteleError) return error
  return new SteleError('file_not_writable', { path, reason: reasonOf(error) }, { cause: error })
}
