import { usageKeys, usageTables } from './usage-tables.ts'

/**
 * The tables, once: column names with their kinds. The TypeScript row types, Kysely's table types and the batch
 * statements all derive from this object; migrations make it real and a test compares the two.
 */

/**
 * text · integer (fits a JavaScript number exactly) · bytes · content and contentText: what was said, bytes and text to whoever
 * may read it, sealed bytes in the database
 */
type Kind = 'text' | 'integer' | 'bytes' | 'content' | 'contentText'

interface Column<K extends Kind = Kind, N extends boolean = boolean> {
  readonly kind: K
  readonly nullable: N
}

const text = { kind: 'text', nullable: false } as const
const textOrNull = { kind: 'text', nullable: true } as const
const integer = { kind: 'integer', nullable: false } as const
const integerOrNull = { kind: 'integer', nullable: true } as const
const bytes = { kind: 'bytes', nullable: false } as const
const bytesOrNull = { kind: 'bytes', nullable: true } as const
const content = { kind: 'content', nullable: false } as const
const contentOrNull = { kind: 'content', nullable: true } as const
const contentText = { kind: 'contentText', nullable: false } as const
const contentTextOrNull = { kind: 'contentText', nullable: true } as const

export const tables = {
  users: {
    id: text,
    email: textOrNull,
    username: textOrNull,
    role: text,
    status: text,
    created_at: integer,
    deleted_at: integerOrNull,
    preferences: contentTextOrNull,
    content_mode: textOrNull,
    erased_at: integerOrNull,
  },
  api_keys: {
    id: text,
    user_id: text,
    name: text,
    prefix: text,
    key_hash: text,
    scopes: text,
    created_at: integer,
    expires_at: integerOrNull,
    revoked_at: integerOrNull,
    last_used_at: integerOrNull,
    content_mode: textOrNull,
    previous_hash: textOrNull,
    previous_expires_at: integerOrNull,
    rotated_at: integerOrNull,
    issued_by: textOrNull,
    masking: textOrNull,
  },
  user_passwords: { user_id: text, hash: text, is_temporary: integer, changed_at: integer },
  login_sessions: {
    user_id: text,
    id: text,
    token_hash: text,
    place: text,
    created_at: integer,
    last_seen_at: integer,
    expires_at: integer,
    ended_at: integerOrNull,
  },
  login_attempts: { subject: text, failures: integer, last_at: integer, blocked_until: integer },
  break_glass_grants: {
    user_id: text,
    id: text,
    holder: text,
    reason: text,
    granted_by: text,
    created_at: integer,
    expires_at: integer,
    revoked_at: integerOrNull,
  },
  secrets: { id: text, wrapped_key: bytes, master_key_id: text, created_at: integer },
  data_keys: {
    user_id: text,
    id: text,
    wrapped_key: bytesOrNull,
    master_key_id: text,
    created_at: integer,
    retired_at: integerOrNull,
    destroyed_at: integerOrNull,
  },
  instances: {
    id: text,
    host: text,
    pid: integer,
    started_at: integer,
    heartbeat_at: integer,
    open_since: text,
  },
  conversations: {
    user_id: text,
    id: text,
    status: text,
    next_seq: integer,
    parent_id: textOrNull,
    parent_seq: integerOrNull,
    created_at: integer,
    updated_at: integer,
    deleted_at: integerOrNull,
    intent: textOrNull,
    session_id: textOrNull,
    title: contentTextOrNull,
    metadata: contentTextOrNull,
    preferences: contentTextOrNull,
  },
  messages: {
    user_id: text,
    conversation_id: text,
    seq: integer,
    id: text,
    role: text,
    content: content,
    model: textOrNull,
    chain_hash: text,
    is_anchor: integer,
    wire_hash: text,
    echo_from: integerOrNull,
    echo: contentOrNull,
    call_id: textOrNull,
    created_at: integer,
    intent: textOrNull,
    cost_nanousd: integerOrNull,
    deleted_at: integerOrNull,
    items: contentOrNull,
    metadata: contentTextOrNull,
  },
  llm_requests: {
    user_id: text,
    id: text,
    // '' and -1 of a call that is no chat and belongs to no conversation.
    conversation_id: text,
    up_to_seq: integer,
    api_key_id: textOrNull,
    instance_id: text,
    provider: text,
    request_model: text,
    operation: text,
    params: contentOrNull,
    messages_at: integerOrNull,
    separator: textOrNull,
    body: contentOrNull,
    prompt_hash: text,
    created_at: integer,
    group_id: textOrNull,
    route_mode: textOrNull,
  },
  llm_responses: {
    user_id: text,
    request_id: text,
    status: text,
    http_status: integerOrNull,
    content_type: textOrNull,
    body: contentOrNull,
    content_at: integerOrNull,
    conversation_id: textOrNull,
    seq: integerOrNull,
    response_model: textOrNull,
    provider_response_id: textOrNull,
    finish_reasons: textOrNull,
    input_tokens: integerOrNull,
    output_tokens: integerOrNull,
    cache_read_input_tokens: integerOrNull,
    reasoning_output_tokens: integerOrNull,
    cost_nanousd: integerOrNull,
    latency_ms: integerOrNull,
    time_to_first_chunk_ms: integerOrNull,
    error_code: textOrNull,
    created_at: integer,
    error_message: contentTextOrNull,
  },
  responses: {
    user_id: text,
    id: text,
    call_id: text,
    conversation_id: text,
    seq: integerOrNull,
    previous_response_id: textOrNull,
    status: text,
    input: content,
    body: content,
    created_at: integer,
    deleted_at: integerOrNull,
    metadata: contentTextOrNull,
  },
  idempotency_keys: { user_id: text, key_hash: text, request_hash: text, call_id: text, expires_at: integer },
  stored_completions: {
    user_id: text,
    id: text,
    call_id: text,
    model: text,
    created_at: integer,
    deleted_at: integerOrNull,
    metadata: contentText,
  },
  context_snapshots: {
    user_id: text,
    id: text,
    conversation_id: text,
    up_to_seq: integer,
    content: content,
    created_at: integer,
  },
  retention_policies: {
    user_id: text,
    content_days: integerOrNull,
    metadata_days: integerOrNull,
    inactive_days: integerOrNull,
    updated_at: integer,
  },
  leases: { name: text, holder: text, expires_at: integer },
  usage_daily: {
    user_id: text,
    day: text,
    model: text,
    calls: integer,
    errors: integer,
    input_tokens: integer,
    output_tokens: integer,
    cost_nanousd: integer,
    unpriced_calls: integer,
  },
  ...usageTables,
  audit_events: {
    user_id: text,
    id: text,
    actor: text,
    action: text,
    category: text,
    severity: text,
    target: textOrNull,
    outcome: text,
    details: textOrNull,
    created_at: integer,
  },
  // from_seq is null where only what the index has not come to yet is to be looked at.
  search_queue: { user_id: text, id: text, conversation_id: text, from_seq: integerOrNull },
  search_progress: { user_id: text, conversation_id: text, next_seq: integer, key_id: text },
} as const satisfies Record<string, Record<string, Column>>

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
  usage_daily: ['user_id', 'day', 'model'],
  ...usageKeys,
  audit_events: ['id', 'user_id'],
  idempotency_keys: ['user_id', 'key_hash'],
  stored_completions: ['user_id', 'id'],
  search_queue: ['id', 'user_id'],
  search_progress: ['user_id', 'conversation_id'],
  retention_policies: ['user_id'],
  leases: ['name'],
} as const satisfies { readonly [T in TableName]: readonly [ColumnName<T>, ...ColumnName<T>[]] }

/** Tables beside these, which each database makes in its own way and fills from them. */
export const derivedTables = ['message_search'] as const

export const tableNames = Object.keys(tables) as readonly TableName[]

/** Those that hold the record. How far the search index has come, and what waits for it, is found in the messages again. */
export const recordTables = tableNames.filter(
  table => table !== 'search_queue' && table !== 'search_progress',
)

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

/** Whose a row is: the column that names its user. */
export function userColumnOf(table: TableName): 'id' | 'user_id' {
  return table === 'users' ? 'id' : 'user_id'
}
