import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setTimeout as pauseFor } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { reasonOf, SteleError } from '../../errors.ts'
import type { DatabaseLocation } from '../database-url.ts'
import { isBroken, isBusy } from './failures.ts'
import { applicationId, mark, NotYet, prepareFile, unmakeFile, whyNotOpened } from './file.ts'
import { GivenReason } from './guards.ts'

/** How long a statement waits for another process's lock, in milliseconds. */
const busyTimeout = 10_000

/** The same once a lock has been in the way for that long; a lock of Stele's own threads lasts no longer. */
const shortWait = 250

/**
 * Pauses between two tries, in milliseconds. SQLite's own waiting would block the thread, and with it every request that
 * needs no lock; these are about as long as SQLite's.
 */
const firstPause = 1
const longestPause = 25

/**
 * Page cache: 16 MiB holds the inner pages of every index up to some ten million messages. More is no better: SQLite
 * goes through the cache at every commit, and leaf pages of the one random index come from the system's cache anyway.
 */
const cacheKibibytes = Number(process.env.XCACHE ?? 16384)

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

export interface SqliteUse {
  readonly access?: SqliteAccess
  /** Another thread of this process has the file open, and has looked at it. */
  readonly isOpenElsewhere?: boolean
}

/**
 * Files that this thread has open. POSIX drops every lock that a process holds on a file when it closes any descriptor of
 * it: while SQLite has the file open, nothing else in the process may open it and close it again, or others would take it
 * for a file that nobody uses, and remove its log.
 */
const openFiles = new Map<string, number>()

/** One connection to a SQLite file, opened on first use, with its prepared statements. */
export class SqliteConnection {
  readonly #location: Extract<DatabaseLocation, { kind: 'sqlite' }>
  readonly #onSql: ((sql: string) => void) | undefined
  readonly #access: SqliteAccess
  /** Whether the file has been looked at, which must not be done again. */
  #isPrepared: boolean
  readonly #statements = new Map<string, StatementSync>()
  #database: DatabaseSync | undefined
  #isClosed = false
  #isBroken = false
  #waitingSince: number | undefined
  readonly #reason = new GivenReason()
  #tail: Promise<unknown> = Promise.resolve()

  constructor(
    location: Extract<DatabaseLocation, { kind: 'sqlite' }>,
    onSql?: (sql: string) => void,
    { access = 'write', isOpenElsewhere = false }: SqliteUse = {},
  ) {
    this.#location = location
    this.#access = access
    this.#isPrepared = isOpenElsewhere
    this.#onSql = onSql
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

  /**
   * Runs `work`, and again for as long as another process's lock is in its way, without blocking the thread. A lock
   * that has been in the way for longer than `busyTimeout` is hardly waited for any more until something succeeds, else
   * each of a queue of callers would wait the whole time in turn.
   * @throws SteleError store_unavailable
   */
  async attempt<R>(work: () => R): Promise<R> {
    const startedAt = performance.now()
    for (let pause = firstPause; ; pause = Math.min(pause * 2, longestPause)) {
      try {
        // What follows a failure in the same transaction would run on its own, outside of it.
        if (this.#isBroken) throw new SteleError('store_unavailable', { reason: 'its file failed just now' })
        const result = work()
        this.#waitingSince = undefined
        return result
      } catch (error) {
        this.noteFailure(error)
        this.#giveUp(error, startedAt)
        await pauseFor(pause)
      }
    }
  }

  /** After a failure that leaves the connection in doubt it is opened anew, once its holder has let go. */
  noteFailure(error: unknown): void {
    if (isBroken(error) && !this.#location.inMemory) this.#isBroken = true
  }

  /** Runs `work` when every earlier holder has let go: a transaction must not meet another's statements. */
  async hold<R>(work: () => Promise<R>): Promise<R> {
    const turn = this.#tail.then(work).finally(() => {
      this.#reason.forget()
      if (this.#isBroken) this.#reset()
    })
    this.#tail = turn.catch(() => undefined)
    return turn
  }

  /** Undoes the transaction under way, if there still is one. */
  rollBack(): void {
    // After a full disk or an I/O error SQLite may have done so by itself.
    if (this.#database?.isTransaction !== true) return
    try {
      this.prepare('ROLLBACK').run()
    } catch (error) {
      // The error that led here is the one to report.
      this.noteFailure(error)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#reset()
  }

  #reset(): void {
    this.#statements.clear()
    const database = this.#database
    this.#database = undefined
    this.#isBroken = false
    if (database !== undefined) forgetOpen(this.#location.path)
    try {
      database?.close()
    } catch (error) {
      if (!isBroken(error)) throw error
    }
  }

  /** Returns when `error` may pass by waiting, else raises what is to be told. */
  #giveUp(error: unknown, startedAt: number): void {
    if (!isBusy(error) && !(error instanceof NotYet)) {
      this.#waitingSince = undefined
      throw error
    }
    const now = performance.now()
    this.#waitingSince ??= now
    const waited = now - this.#waitingSince
    if (error instanceof NotYet) {
      if (waited > error.patience) throw error.failure
    } else if (waited > busyTimeout && now - startedAt > shortWait) {
      const reason = `another process has locked ${this.#location.display}`
      throw new SteleError('store_unavailable', { reason }, { cause: error })
    }
  }

  #open(): DatabaseSync {
    if (this.#database !== undefined) return this.#database
    if (this.#isClosed) throw new SteleError('store_unavailable', { reason: 'it is closed' })
    const location = this.#location
    if (this.#access !== 'write') {
      this.#database = openForReading(location.path, location.display, this.#access)
      return this.#database
    }
    let isMade = false
    let database: DatabaseSync | undefined
    try {
      isMade =
        !this.#isPrepared && !location.inMemory && !openFiles.has(location.path) && prepareFile(location)
      database = new DatabaseSync(location.path, { timeout: 0 })
      configure(database)
      this.#reason.install(database)
      this.#isPrepared = true
      this.#database = database
      openFiles.set(location.path, (openFiles.get(location.path) ?? 0) + 1)
      return database
    } catch (error) {
      database?.close()
      if (isMade) unmakeFile(location)
      throw isBusy(error) || error instanceof NotYet ? error : whyNotOpened(location, error)
    }
  }
}

function forgetOpen(path: string): void {
  const count = (openFiles.get(path) ?? 1) - 1
  if (count > 0) openFiles.set(path, count)
  else openFiles.delete(path)
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

function configure(database: DatabaseSync): void {
  const { application_id: found } = database.prepare('PRAGMA application_id').get() ?? {}
  // Before the log is turned on, so that the first page to reach the file of a new database carries it.
  if (found !== applicationId) mark(database)
  // Secure as far as that writes no page more: what is removed from a page is overwritten, free pages are given back later.
  // FULL, not NORMAL: in WAL mode NORMAL may lose the last commits on power loss (https://sqlite.org/pragma.html).
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = FAST;
    PRAGMA cache_size = -${cacheKibibytes};
    PRAGMA temp_store = MEMORY;
    PRAGMA wal_autocheckpoint = ${checkpointPages};
    PRAGMA journal_size_limit = ${keptLogBytes};`)
}
