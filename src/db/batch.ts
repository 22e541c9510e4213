import type { SearchWriter } from './search-index.ts'
import type { ColumnName, Row, TableName } from './tables.ts'

/** A change of rows that is made only where `match` still holds. */
export interface GuardedUpdate<T extends TableName, S extends ColumnName<T>, M extends ColumnName<T>> {
  readonly set: Pick<Row<T>, S>
  readonly match: Pick<Row<T>, M>
}

export interface FindOptions {
  /** The rows stay as they are until commit. */
  readonly lock?: boolean
  /** A constant condition beside the keys, written so that a partial index with the same condition serves. */
  readonly where?: string
}

/**
 * Many rows at a time inside one transaction: the recorder's hot path. The SQL is made once per table and shape, so
 * a batch of any size costs a prepared statement or a round trip, not a query built anew.
 */
export interface Batch {
  readonly search: SearchWriter
  /** The rows that equal any of `keys` in every column of `by`. */
  find<T extends TableName, B extends ColumnName<T>, C extends ColumnName<T>>(
    table: T,
    by: readonly B[],
    keys: readonly Pick<Row<T>, B>[],
    columns: readonly C[],
    options?: FindOptions,
  ): Promise<Pick<Row<T>, C>[]>
  /** Inserts all rows or raises. */
  insert<T extends TableName>(table: T, rows: readonly Row<T>[]): Promise<void>
  /** Inserts the rows whose primary key is not there yet. */
  insertAbsent<T extends TableName>(table: T, rows: readonly Row<T>[]): Promise<void>
  /** Inserts rows, adding the columns of `add` to those already there under the same `key`. Keys must differ. */
  insertOrAdd<T extends TableName, K extends ColumnName<T>, A extends ColumnName<T>>(
    table: T,
    key: readonly K[],
    add: readonly A[],
    rows: readonly Row<T>[],
  ): Promise<void>
  /** Updates row by row; no two may match the same row. Returns how many rows matched. */
  update<T extends TableName, S extends ColumnName<T>, M extends ColumnName<T>>(
    table: T,
    set: readonly S[],
    match: readonly M[],
    updates: readonly GuardedUpdate<T, S, M>[],
  ): Promise<number>
  /** Removes the rows that equal any of `keys` in every column of `by`. Returns how many there were. */
  remove<T extends TableName, B extends ColumnName<T>>(
    table: T,
    by: readonly B[],
    keys: readonly Pick<Row<T>, B>[],
  ): Promise<number>
}
