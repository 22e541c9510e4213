import type { ColumnName, TableName } from './tables.ts'

/** What a gateway does with the rows of a table beside reading them and, unless said otherwise, adding some. */
export interface Rights {
  /** Columns that it changes; `all` where any may change. */
  readonly update?: 'all' | readonly string[]
  readonly remove?: true
}

/**
 * Every table, with no more than what serving takes. A new table has to be given its own: a gateway that works as a role with
 * these rights and no others is what `stele migrate grants` prints.
 */
export const gatewayRights: {
  readonly [T in TableName]: Rights & { readonly update?: 'all' | readonly ColumnName<T>[] }
} = {
  users: { update: 'all' },
  api_keys: { update: 'all' },
  user_passwords: { update: 'all', remove: true },
  login_sessions: { update: 'all', remove: true },
  login_attempts: { update: 'all', remove: true },
  break_glass_grants: { update: ['revoked_at'] },
  secrets: { update: ['wrapped_key', 'master_key_id'], remove: true },
  data_keys: { update: ['wrapped_key', 'master_key_id', 'retired_at', 'destroyed_at'] },
  instances: { update: 'all', remove: true },
  conversations: { update: 'all', remove: true },
  messages: { update: 'all', remove: true },
  llm_requests: {
    update: ['params', 'messages_at', 'separator', 'body', 'sent', 'prompt_hash'],
    remove: true,
  },
  llm_responses: {
    update: [
      'body',
      'content_at',
      'conversation_id',
      'seq',
      'provider_response_id',
      'cost_nanousd',
      'error_message',
    ],
    remove: true,
  },
  context_snapshots: { update: ['content'], remove: true },
  responses: { update: 'all', remove: true },
  document_types: {},
  documents: { update: 'all', remove: true },
  idempotency_keys: { update: 'all', remove: true },
  stored_completions: { update: 'all', remove: true },
  cache_entries: { update: 'all', remove: true },
  search_queue: { update: 'all', remove: true },
  search_progress: { update: 'all', remove: true },
  retention_policies: { update: 'all', remove: true },
  leases: { update: 'all', remove: true },
  limit_state: { update: 'all' },
  limits: { update: 'all', remove: true },
  limit_counters: { update: 'all', remove: true },
  usage_daily: { update: 'all' },
  usage_rollups: { update: 'all', remove: true },
  usage_conversations: { update: 'all', remove: true },
  usage_pending: { remove: true },
  usage_progress: { update: 'all' },
  audit_events: {},
  audit_queue: { update: ['leaves'], remove: true },
  audit_log: {},
  audit_tiles: { update: ['hashes'] },
  // A witness signs what is there: its line comes behind the others.
  audit_checkpoints: { update: ['note'] },
  audit_keys: { update: ['retired_at'] },
  audit_places: { update: 'all' },
  audit_details: { update: ['content'], remove: true },
  audit_counts: { update: ['events'] },
}
