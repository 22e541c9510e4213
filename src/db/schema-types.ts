import type { Guard } from './guards.ts'

interface SearchTables {
  readonly make: readonly string[]
  readonly remove: readonly string[]
}

/** Statements about rows that stay as they are (`guards.ts`). */
export interface GuardStatements {
  /** Make what all guards need. */
  readonly prepare: readonly string[]
  make(guard: Guard): string[]
  remove(table: string): string[]
  /** The inverse of `prepare`, when no guard is left. */
  readonly removePrepared: readonly string[]
}

/** Words in which the databases' table definitions differ. */
export interface SchemaTypes {
  /** The folder name of committed schema files. */
  readonly name: string
  /** Text compared by code point, so that ids sort the same everywhere. */
  readonly text: string
  readonly integer: string
  readonly bytes: string
  /** The bytes of a text column after the byte 01, which content that is not encrypted begins with. */
  plainContent(column: string): string
  /** The inverse. */
  textOfContent(column: string): string
  /** Ends the definition of a table of small rows that are found by their primary key: rows live in the key's own index. */
  readonly clustered: string
  /** Ends a table definition whose rows are spread over ranges of `column`, an id that sorts by time. */
  partitionedBy(column: string): string
  /** Statements that follow the definition of such a table. */
  afterPartitioned(table: string): string[]
  /** Statements that make the search index (`search-index.ts`) in its first form and as it is, and those that remove it. */
  readonly searchIndex: SearchTables
  readonly blindSearchIndex: SearchTables
  readonly guards: GuardStatements
}
