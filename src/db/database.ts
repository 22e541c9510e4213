import type { Kysely, RawBuilder } from 'kysely'
import type { BatchLock, SoleWork, StoredBatch } from './batch.ts'
import { type DatabaseLocation, parseDatabaseUrl } from './database-url.ts'
import type { ChangeReason } from './guards.ts'
import { openPostgres } from './postgres/database.ts'
import type { SchemaTypes } from './schema-types.ts'
import type { IndexedMessages, SearchReader } from './search-index.ts'
import { openSqlite } from './sqlite/database.ts'
import type { TableName, Tables } from './tables.ts'

/** Why a statement failed, as far as a caller can act on it. */
export type FailureKind =
  /** The database cannot be reached or cannot write now; nothing is wrong with the data. */
  | 'unavailable'
  /** Lost a race (deadlock, serialization, busy); the same work may succeed at once. */
  | 'contended'
  /** The data itself was refused. */
  | 'rejected'

/** What a database can do, so that nothing outside this folder asks which one it is. */
export interface Capabilities {
  /** Writing blocks the calling thread, so a worker thread should do it. */
  readonly blockingWrites: boolean
  /** How many batches may be under way at once. */
  readonly concurrentBatches: number
  /** It runs elsewhere and may be away while this process goes on; then a spool can stand in for it. */
  readonly mayBeAway: boolean
  /** Whether several processes can work on the same data. */
  readonly isShared: boolean
  /** Whether these processes write in turn: more of them then only wait for each other. */
  readonly hasOneWriter: boolean
}

export interface DatabaseSettings {
  /** Connections kept open, and how many more may be opened under load. */
  readonly poolSize?: number | undefined
  readonly maxOverflow?: number | undefined
  /** Seconds to wait for a free connection. */
  readonly poolTimeout?: number | undefined
  /** Seconds that a batch, or a statement that somebody waits for, may take before the database counts as away. */
  readonly commitTimeout?: number | undefined
  /** Schema (namespace) that holds the tables, where the database has such. */
  readonly schema?: string | undefined
  /** Whether messages are kept in the search index; true when left out. */
  readonly search?: boolean | undefined
  /** Receives every statement's SQL, without its parameters. */
  readonly onSql?: ((sql: string) => void) | undefined
}

/** One fact for `stele doctor`: what is set, what was found, whether that is good. */
export interface Finding {
  readonly name: string
  readonly value: string
  readonly ok: boolean
}

/** What can be done with a database that is one file. */
export interface DatabaseFile {
  readonly path: string
  /**
   * Copies the state of this moment into the new file `to`, readable by its owner alone, and waits until it is on the
   * disk. Others may write meanwhile. `onProgress` is told pages done and pages in all.
   * @throws SteleError file_not_writable, store_unavailable
   */
  copyTo(to: string, onProgress?: (done: number, total: number) => void): Promise<void>
  /**
   * Takes the keys of users' content out of the file, and every byte of them. Nobody else has it open.
   * @throws SteleError file_not_writable
   */
  removeKeys(): void
  /** The first damage that a check of every page finds; undefined when there is none. */
  damage(): string | undefined
  /** Whether changes wait beside the file that are not in it: so it is of a database in use, or of one that broke off. */
  hasPendingChanges(): boolean
  /**
   * Puts the file `from`, which lies in the same folder, in the place of this one, in one step. No other process has this
   * one open meanwhile.
   * @throws SteleError database_in_use, file_not_writable
   */
  replaceWith(from: string): void
  /**
   * Writes the file anew without the space that nothing uses, and so that later such space can be given back step by step.
   * No other process has it open meanwhile, and neither has this one.
   * @throws SteleError database_in_use, file_not_writable
   */
  compact(): void
}

/** A month of some tables that can be given up whole. */
export interface StorageMonth {
  readonly tables: readonly TableName[]
  /** As in 2026-01. */
  readonly name: string
  /** The ids that it holds were made from `from` on and before `to`, in milliseconds since 1970. */
  readonly from: number
  readonly to: number
}

/** Bytes that nothing uses: how many were given back, and how many are left. */
export interface Reclaimed {
  readonly freed: number
  readonly left: number
}

/** The schema of this version with its first rows, as it came of all migrations once. */
export interface SchemaImage {
  /** Takes it from a database that has just been migrated. */
  keep(tx: Kysely<Tables>): Promise<void>
  /** Makes it in an empty database. False while none is kept. */
  restore(tx: Kysely<Tables>): Promise<boolean>
}

export interface Database {
  readonly location: DatabaseLocation
  readonly capabilities: Capabilities
  readonly schemaTypes: SchemaTypes
  /** Undefined where databases are rarely made: each of them is migrated. */
  readonly schemaImage: SchemaImage | undefined
  /** Undefined when it is no file: a server has tools of its own for that. */
  readonly file: DatabaseFile | undefined
  /** How it is backed up when it is no file, in words. */
  readonly backupAdvice: string
  /** False when it is a file that nobody has made yet; the first query would make it. */
  exists(): boolean
  /** Opened on first use. */
  readonly kysely: Kysely<Tables>
  /**
   * The same for short statements that somebody waits for: none of them waits longer for an answer than a batch may take.
   */
  readonly prompt: Kysely<Tables>
  /** Undefined when messages are not kept in the search index. */
  readonly search: SearchReader | undefined
  /** Takes messages out of the search index, in the transaction that removes them or what they say. */
  unindex(tx: Kysely<Tables>, messages: IndexedMessages): Promise<void>
  /** Runs `work` in one transaction; it commits durably when `work` resolves, rolls back when it throws. */
  batch<R>(work: (batch: StoredBatch) => Promise<R>): Promise<R>
  /** The same for what one batch at a time may do. Undefined, at once, while another process is doing it. */
  batchAlone<R>(doing: SoleWork, work: (batch: StoredBatch) => Promise<R>): Promise<R | undefined>
  /**
   * Runs `work` in one transaction that holds a lock of batches: `shared` beside them, or `alone`, when none of them is under way and
   * none begins until it is over.
   */
  holding<R>(lock: BatchLock, how: 'shared' | 'alone', work: (tx: Kysely<Tables>) => Promise<R>): Promise<R>
  /** Runs `work`, which only reads, on the state of one moment. Others may write meanwhile. */
  snapshot<R>(work: (db: Kysely<Tables>) => Promise<R>): Promise<R>
  /** Runs `work` in one transaction that excludes every other migrator. */
  exclusively<R>(work: (tx: Kysely<Tables>) => Promise<R>): Promise<R>
  /**
   * Lets the transaction change rows that stay as they are otherwise (`guards.ts`), as far as this reason goes. The permission
   * ends with it; outside of a transaction it is good for nothing.
   */
  permit(tx: Kysely<Tables>, reason: ChangeReason): Promise<void>
  /** Whether the schema in use has this table; works inside a transaction too. */
  hasTable(db: Kysely<Tables>, name: string): Promise<boolean>
  /**
   * Prepares storage for rows made from `time` on, as far as the database needs that. Returns what was made.
   * @throws SteleError partitions_missing when the role may not; rows find room nevertheless
   */
  ensureStorage(time: number): Promise<string[]>
  /**
   * Looks for damage, and whether a record can be kept there at all, before anything is changed, as far as that takes no
   * noticeable time.
   * @throws SteleError database_damaged, database_foreign, database_not_writable, database_unsuitable
   */
  verify(): Promise<void>
  /** Prepares storage for exactly these rows, whenever they were made. */
  ensureStorageFor<T extends TableName>(table: T, rows: readonly object[]): Promise<void>
  /** Ends a query whose rows are to stay as they are until commit, where that has to be said. */
  readonly forUpdate: RawBuilder<unknown>
  /**
   * The months of rows that can be given up whole, the oldest first: all of them over at `before`, and none in which rows
   * are still made at `now`. None where rows go one by one.
   */
  storageMonths(before: number, now: number): Promise<StorageMonth[]>
  /**
   * Gives up a month with all its rows, if `mayGo` still says so once nobody can add to it. Holds nobody up: a month that
   * somebody works with is left, and is `busy`.
   */
  dropMonth(
    month: StorageMonth,
    mayGo: (tx: Kysely<Tables>) => Promise<boolean>,
  ): Promise<'dropped' | 'kept' | 'busy'>
  /**
   * Writes a part of the search index anew without the words of what was taken out of it, where it keeps them until then.
   * True while there is more to do. @param isFirst whether this begins to, which is nothing to do when no such words are left
   */
  forgetWords(isFirst: boolean): Promise<boolean>
  /** Gives back some of the space that removed rows have left, as far as that is not the server's own business. */
  reclaim(): Promise<Reclaimed>
  /** Runs `work` in one transaction; what it removes is overwritten where the database can do that. */
  overwriting<R>(work: (tx: Kysely<Tables>) => Promise<R>): Promise<R>
  /**
   * Lets go of what the database's own storage still has of keys that were destroyed and of rows that were removed. `busy`
   * when somebody who reads still needs it; `left` when there is more than can be written anew while others wait.
   */
  scrub(): Promise<'done' | 'busy' | 'left'>
  classify(error: unknown): FailureKind
  /**
   * Statements that give a role what a gateway needs and nothing else (`rights.ts`), for its administrator to run. Undefined where
   * there are no roles.
   */
  grantStatements(role: string): readonly string[] | undefined
  /** The live schema as sorted lines, to be compared with the committed one. */
  describeSchema(): Promise<string[]>
  /** What there is to tell of the storage even when it cannot be opened. */
  examineStorage(): Finding[]
  /** Version and settings that matter for durability. */
  examine(): Promise<Finding[]>
  /** Lets go of the database, after a few seconds even of one that does not answer. */
  close(): Promise<void>
}

/**
 * A database by its URL. Nothing is opened, made or contacted before the first query. `isOpenElsewhere` says that another
 * thread of this process has it open, so that what need be checked has been.
 */
export function openDatabase(
  url: string,
  settings: DatabaseSettings = {},
  use: { readonly isOpenElsewhere?: boolean } = {},
): Database {
  const location = parseDatabaseUrl(url)
  return location.kind === 'sqlite' ? openSqlite(location, settings, use) : openPostgres(location, settings)
}

/** The same for a file by its path. */
export function openFile(path: string): Database {
  return openSqlite({ kind: 'sqlite', path, inMemory: false, display: path, keyFolder: undefined }, {})
}

/**
 * A database file that nobody writes to, such as a backup, for reading as it is.
 * @param path where it lies, not a URL
 */
export function openUnchanging(path: string): Database {
  return openSqlite(
    { kind: 'sqlite', path, inMemory: false, display: path, keyFolder: undefined },
    {},
    { access: 'unchanging' },
  )
}
