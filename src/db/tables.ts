import { auditKeys } from './audit-tables.ts'
import { type Column, type Kind, tables } from './definitions.ts'
import { usageKeys } from './usage-tables.ts'

type Definitions = typeof tables

export type TableName = keyof Definitions

declare const seal: unique symbol

/** Content as the database holds it: bytes that say nothing until they are opened. */
export interface SealedBytes {
  readonly [seal]: 'bytes'
}
export interface SealedText {
  readonly [seal]: 'text'
}

type StoredType<K extends Kind> = K extends 'text'
  ? string
  : K extends 'integer'
    ? number
    : K extends 'content'
      ? SealedBytes
      : K extends 'contentText'
        ? SealedText
        : Uint8Array

type ColumnType<C> =
  C extends Column<infer K, infer N> ? StoredType<K> | (N extends true ? null : never) : never

/** The tables as they are stored, which is what Kysely is typed with. */
export type Tables = {
  [T in TableName]: { -readonly [C in keyof Definitions[T]]: ColumnType<Definitions[T][C]> }
}

type OpenedValue<V> = V extends SealedText ? string : V extends SealedBytes ? Uint8Array : V

/** Some columns of a row, their content readable. */
export type Opened<R> = { [C in keyof R]: OpenedValue<R[C]> }

/** A row of a table, every column present, its content readable. */
export type Row<T extends TableName> = Opened<Tables[T]>

export type ColumnName<T extends TableName> = keyof Tables[T] & string

/** The columns of each primary key, in its order. */
export const primaryKeys = {
  users: ['id'],
  api_keys: ['id'],
  user_passwords: ['user_id'],
  login_sessions: ['user_id', 'id'],
  login_attempts: ['subject'],
  break_glass_grants: ['user_id', 'id'],
  secrets: ['id'],
  data_keys: ['user_id', 'id'],
  instances: ['id'],
  conversations: ['id', 'user_id'],
  messages: ['conversation_id', 'user_id', 'seq'],
  llm_requests: ['id', 'user_id'],
  llm_responses: ['request_id', 'user_id'],
  context_snapshots: ['id', 'user_id'],
  responses: ['id', 'user_id'],
  document_types: ['name', 'version'],
  documents: ['id', 'user_id'],
  usage_daily: ['user_id', 'day', 'model'],
  ...usageKeys,
  audit_events: ['id', 'user_id'],
  ...auditKeys,
  idempotency_keys: ['user_id', 'key_hash'],
  stored_completions: ['user_id', 'id'],
  cache_entries: ['user_id', 'id'],
  search_queue: ['id', 'user_id'],
  search_progress: ['user_id', 'conversation_id'],
  retention_policies: ['user_id'],
  leases: ['name'],
  limit_state: ['name'],
  limits: ['scope', 'subject', 'model', 'period'],
  limit_counters: ['scope', 'subject', 'model', 'period', 'window_start'],
} as const satisfies { readonly [T in TableName]: readonly [ColumnName<T>, ...ColumnName<T>[]] }

/** Tables beside these, which each database makes in its own way and fills from them. */
export const derivedTables = ['message_search'] as const

export const tableNames = Object.keys(tables) as readonly TableName[]

/** What the record can do without: how far the search index has come is found in the messages again, cached answers by asking. */
const aside: ReadonlySet<string> = new Set(['search_queue', 'search_progress', 'cache_entries'])

/** Those that hold the record. */
export const recordTables = tableNames.filter(table => !aside.has(table))

const columnNames = new Map(Object.entries(tables).map(([table, columns]) => [table, Object.keys(columns)]))

export function columnsOf<T extends TableName>(table: T): readonly ColumnName<T>[] {
  return columnNames.get(table) as ColumnName<T>[]
}

/** How the database holds a column. */
export function kindOf<T extends TableName>(table: T, column: ColumnName<T>): 'text' | 'integer' | 'bytes' {
  const kind = (tables[table] as Record<string, Column>)[column]?.kind ?? 'text'
  return kind === 'content' || kind === 'contentText' ? 'bytes' : kind
}

/** A column that holds what was said, which is text or bytes to whoever reads it. */
export interface ContentColumn {
  readonly name: string
  readonly isText: boolean
  readonly nullable: boolean
}

export function contentColumnsOf(table: TableName): readonly ContentColumn[] {
  return contentColumns.get(table) ?? []
}

const contentColumns = new Map(
  Object.entries(tables).map(([table, columns]) => [
    table,
    Object.entries<Column>(columns).flatMap(([name, { kind, nullable }]): ContentColumn[] =>
      kind === 'content' || kind === 'contentText'
        ? [{ name, isText: kind === 'contentText', nullable }]
        : [],
    ),
  ]),
)

/**
 * Tables whose content is the store's, whomever it concerns: it is sealed with a key of the store, and stays readable when a
 * user's keys are destroyed.
 */
export function isOfStore(table: TableName): boolean {
  return table === 'audit_events'
}

/** Whose a row is: the column that names its user. */
export function userColumnOf(table: TableName): 'id' | 'user_id' {
  return table === 'users' ? 'id' : 'user_id'
}
