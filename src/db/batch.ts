import type { ChangeReason } from './guards.ts'
import type { SearchWriter } from './search-index.ts'
import type { ColumnName, Opened, TableName, Tables } from './tables.ts'

/** How content is kept. */
export type ContentMode = 'encrypted' | 'hashed' | 'plain'

/** Said with a row that is written: the API key by which its content is kept as that says. No column. */
export interface Kept {
  readonly writtenWith?: string | undefined
  /** Stronger than that: how content that is sealed anew was kept before. */
  readonly contentMode?: ContentMode | undefined
}

type AnyRows = { readonly [T in TableName]: object }

/** The columns `C` of a row. */
type Some<R, C extends PropertyKey> = { [P in C]: P extends keyof R ? R[P] : never }

/** A change of rows that is made only where `match` still holds. */
export interface GuardedUpdate<R, S extends PropertyKey, M extends PropertyKey> extends Kept {
  readonly set: Some<R, S>
  readonly match: Some<R, M>
}

export interface FindOptions {
  /** The rows stay as they are until commit: nobody else locks them, or with 'shared' nobody changes them. */
  readonly lock?: boolean | 'shared'
  /** A constant condition beside the keys, written so that a partial index with the same condition serves. */
  readonly where?: string
  /** For each key only so many rows: those with the highest values of a column. Not with `lock`. */
  readonly latest?: { readonly by: string; readonly limit: number }
}

/**
 * Many rows at a time inside one transaction: the recorder's hot path. The SQL is made once per table and shape, so
 * a batch of any size costs a prepared statement or a round trip, not a query built anew.
 */
interface BatchOf<R extends AnyRows> {
  readonly search: SearchWriter
  /** The rows that equal any of `keys` in every column of `by`. */
  find<T extends TableName, B extends ColumnName<T>, C extends ColumnName<T>>(
    table: T,
    by: readonly B[],
    keys: readonly Some<R[T], B>[],
    columns: readonly C[],
    options?: FindOptions,
  ): Promise<Some<R[T], C>[]>
  /** Inserts all rows or raises. */
  insert<T extends TableName>(table: T, rows: readonly (R[T] & Kept)[]): Promise<void>
  /** Inserts the rows whose primary key is not there yet. */
  insertAbsent<T extends TableName>(table: T, rows: readonly (R[T] & Kept)[]): Promise<void>
  /** Inserts rows, adding the columns of `add` to those already there under the same `key`. Keys must differ. */
  insertOrAdd<T extends TableName, K extends ColumnName<T>, A extends ColumnName<T>>(
    table: T,
    key: readonly K[],
    add: readonly A[],
    rows: readonly R[T][],
  ): Promise<void>
  /** Updates row by row; no two may match the same row. Returns how many rows matched. */
  update<T extends TableName, S extends ColumnName<T>, M extends ColumnName<T>>(
    table: T,
    set: readonly S[],
    match: readonly M[],
    updates: readonly GuardedUpdate<R[T], S, M>[],
  ): Promise<number>
  /** Removes the rows that equal any of `keys` in every column of `by`. Returns how many there were. */
  remove<T extends TableName, B extends ColumnName<T>>(
    table: T,
    by: readonly B[],
    keys: readonly Some<R[T], B>[],
  ): Promise<number>
}

/** Rows as they are stored. */
export interface StoredBatch extends BatchOf<Tables> {
  /**
   * As `insertOrAdd`, and returns the sums that came of it, which stay as they are until commit. Rows are locked in the order of
   * their keys, whoever asks.
   */
  addAndRead<T extends TableName, K extends ColumnName<T>, A extends ColumnName<T>>(
    table: T,
    key: readonly K[],
    add: readonly A[],
    rows: readonly Tables[T][],
  ): Promise<Some<Tables[T], K | A>[]>
  /** As `Database.permit`, for the transaction of this batch. */
  permit(reason: ChangeReason): Promise<void>
  /** The first rows of a table in the order of its primary key, of those behind the key `after`. */
  first<T extends TableName>(
    table: T,
    limit: number,
    after?: readonly (string | number)[],
  ): Promise<Tables[T][]>
  /** The last row in that order. */
  last<T extends TableName>(table: T): Promise<Tables[T] | undefined>
  /** Holds `lock` together with other batches until commit, and waits for whoever holds it alone (`Database.holding`). */
  share(lock: BatchLock): Promise<void>
}

/** What batches hold together. */
export type BatchLock = 'limits'

/** What one batch at a time does. */
export type SoleWork = 'audit-log'

/** Rows whose content is readable: what is written is sealed, what is found is opened. */
export interface Batch extends BatchOf<{ readonly [T in TableName]: Opened<Tables[T]> }> {
  /** The same transaction with rows as they are stored. */
  readonly stored: StoredBatch
  /** What makes commitments to what these users said untellable, 32 bytes each; undefined of a user who has no key. */
  salts(places: readonly SaltPlace[]): readonly (Buffer | undefined)[]
  /** Makes the keys that users lack of whom something is written that needs one. */
  requireKeys(userIds: Iterable<string>): Promise<void>
}

export interface SaltPlace {
  readonly userId: string
  /** What is committed to: no two commitments of a user have the same place. */
  readonly place: string
}
