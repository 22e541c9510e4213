import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { reasonOf, SteleError } from '../../errors.ts'
import type { DatabaseLocation } from '../database-url.ts'

/** How long a statement waits for another process's lock, in milliseconds. */
const busyTimeout = 10_000

/** SQLITE_BUSY, https://sqlite.org/rescode.html, and the pause before another try where SQLite itself does not wait. */
const busyCode = 5
const busyPause = 5

/**
 * Page cache: 16 MiB holds the inner pages of every index up to some ten million messages. More is no better: SQLite
 * goes through the cache at every commit, and leaf pages of the one random index come from the system's cache anyway.
 */
const cacheKibibytes = 16_384

/** Pages the log grows by before it is written back: a page that many commits change is then written back once. */
const checkpointPages = 4_000

/** What the log file is cut to when it had to grow beyond that. */
const keptLogBytes = 64 * 1024 * 1024

/** Statements kept prepared. The store uses a few dozen; the rest are ad-hoc queries that come and go. */
const maxPrepared = 256

/**
 * What a connection is for: `write` makes the file when it is missing; `read` sees what others write; `unchanging` reads
 * a file that nobody writes to, and makes no other file beside it.
 */
export type SqliteAccess = 'write' | 'read' | 'unchanging'

/** One connection to a SQLite file, opened on first use, with its prepared statements. */
export class SqliteConnection {
  readonly #location: Extract<DatabaseLocation, { kind: 'sqlite' }>
  readonly #onSql: ((sql: string) => void) | undefined
  readonly #access: SqliteAccess
  readonly #statements = new Map<string, StatementSync>()
  #database: DatabaseSync | undefined
  #isClosed = false
  #tail: Promise<unknown> = Promise.resolve()

  constructor(
    location: Extract<DatabaseLocation, { kind: 'sqlite' }>,
    onSql?: (sql: string) => void,
    access: SqliteAccess = 'write',
  ) {
    this.#location = location
    this.#onSql = onSql
    this.#access = access
  }

  /** A prepared statement for `sql`, made once. */
  prepare(sql: string): StatementSync {
    this.#onSql?.(sql)
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.#open().prepare(sql)
    if (this.#statements.size >= maxPrepared) {
      const [oldest] = this.#statements.keys()
      if (oldest !== undefined) this.#statements.delete(oldest)
    }
    this.#statements.set(sql, statement)
    return statement
  }

  /** Runs `work` when every earlier holder has let go: a transaction must not meet another's statements. */
  async hold<R>(work: () => Promise<R>): Promise<R> {
    const turn = this.#tail.then(work)
    this.#tail = turn.catch(() => undefined)
    return turn
  }

  close(): void {
    this.#isClosed = true
    this.#statements.clear()
    this.#database?.close()
    this.#database = undefined
  }

  #open(): DatabaseSync {
    if (this.#database !== undefined) return this.#database
    if (this.#isClosed) throw new SteleError('store_unavailable', { reason: 'it is closed' })
    const { path, inMemory, display } = this.#location
    if (this.#access !== 'write') {
      this.#database = openForReading(path, display, this.#access)
      return this.#database
    }
    try {
      if (!inMemory) createPrivately(path)
      const database = new DatabaseSync(path, { timeout: busyTimeout })
      enterWriteAheadLog(database)
      // FULL, not NORMAL: in WAL mode NORMAL may lose the last commits on power loss (https://sqlite.org/pragma.html).
      database.exec(`
        PRAGMA synchronous = FULL;
        PRAGMA cache_size = -${cacheKibibytes};
        PRAGMA temp_store = MEMORY;
        PRAGMA wal_autocheckpoint = ${checkpointPages};
        PRAGMA journal_size_limit = ${keptLogBytes};`)
      this.#database = database
      return database
    } catch (error) {
      throw new SteleError(
        'database_not_writable',
        { database: display, reason: reasonOf(error) },
        { cause: error },
      )
    }
  }
}

/** @throws SteleError store_unavailable */
export function openForReading(
  path: string,
  display: string,
  access: Exclude<SqliteAccess, 'write'>,
): DatabaseSync {
  try {
    if (access === 'read') return new DatabaseSync(path, { readOnly: true, timeout: busyTimeout })
    const url = pathToFileURL(path)
    url.searchParams.set('immutable', '1')
    return new DatabaseSync(url, { readOnly: true })
  } catch (error) {
    throw new SteleError('store_unavailable', { reason: `${display}: ${reasonOf(error)}` }, { cause: error })
  }
}

/** Makes the file readable by its owner alone; SQLite gives its WAL the same mode. */
export function createPrivately(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  closeSync(openSync(path, 'a', 0o600))
}

/**
 * Turns the write-ahead log on. Processes that open a new file together race for it, and unlike other statements this
 * one does not wait for a lock: it fails at once.
 */
function enterWriteAheadLog(database: DatabaseSync): void {
  for (const deadline = performance.now() + busyTimeout; ; ) {
    try {
      database.exec('PRAGMA journal_mode = WAL')
      return
    } catch (error) {
      if ((error as { errcode?: number }).errcode !== busyCode || performance.now() > deadline) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, busyPause)
    }
  }
}
