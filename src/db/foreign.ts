import { parseDatabaseUrl } from './database-url.ts'
import { openForeignPostgres } from './postgres/foreign.ts'
import { openForeignSqlite } from './sqlite/foreign.ts'

/**
 * A value of another program's table. Whatever is neither text nor bytes is text: a number with every digit that counts,
 * a time in ISO 8601, JSON as its text. Text that is not valid UTF-8 comes as its bytes.
 */
export type ForeignValue = string | Uint8Array | null

export type ForeignRow = Readonly<Record<string, ForeignValue>>

export interface ForeignTable {
  readonly name: string
  readonly columns: readonly string[]
  /** The single column of whole numbers that is its primary key: rows got theirs in the order in which they came. */
  readonly counter: string | undefined
}

/** How rows are ordered: by the bytes of a column's text, by its value, or as they were put in, as far as is known. */
export type ForeignOrder =
  | { readonly bytes: string; readonly descending?: boolean }
  | { readonly value: string }
  | 'insertion'

export interface ForeignSelect {
  readonly table: string
  readonly columns: readonly string[]
  /** Columns without a value come first. */
  readonly orderBy: readonly ForeignOrder[]
  /** The rows of another table that name a row, or none; their columns come as `table.column`. */
  readonly join?: ForeignJoin | undefined
}

export interface ForeignJoin {
  readonly table: string
  readonly columns: readonly string[]
  /** The columns that are equal: of the table, and of the one that is joined. */
  readonly on: readonly [own: string, its: string]
}

/** Another program's database, only read, as it stands at one moment. */
export interface ForeignDatabase {
  /** Where it is, without secrets. */
  readonly display: string
  readonly tables: readonly ForeignTable[]
  /** Whether rows of any table come in the order in which they were put in when asked so. */
  readonly knowsInsertionOrder: boolean
  count(table: string): Promise<number>
  /** Rows, a page at a time, in memory that does not grow with the table. Several may be read at once. */
  select(query: ForeignSelect): AsyncGenerator<readonly ForeignRow[]>
  close(): Promise<void>
}

/**
 * Opens the database of another program, by a URL as Stele's own are written.
 * @param schema the schema (namespace) that holds its tables, where the database has such
 * @throws SteleError database_url_invalid, source_unreadable
 */
export function openForeign(url: string, schema: string | undefined): Promise<ForeignDatabase> {
  const location = parseDatabaseUrl(url)
  return location.kind === 'sqlite'
    ? openForeignSqlite(location.path, location.display)
    : openForeignPostgres(location, schema)
}
