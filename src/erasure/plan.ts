import type { TableName } from '../db/tables.ts'

/**
 * What becomes of a user's rows: they go; or they stay without what was said and what tells who it was; or they stay as they
 * are. `with its conversation`: they go together. `none` where rows belong to no user.
 */
export const afterErasure = {
  users: 'blanked',
  api_keys: 'blanked',
  user_passwords: 'removed',
  login_sessions: 'removed',
  login_attempts: 'removed',
  // Who was let read what, and why: a part of the audit trail.
  break_glass_grants: 'kept',
  secrets: 'none',
  data_keys: 'blanked',
  instances: 'none',
  conversations: 'removed',
  messages: 'with its conversation',
  llm_requests: 'blanked',
  llm_responses: 'blanked',
  responses: 'removed',
  document_types: 'none',
  documents: 'removed',
  idempotency_keys: 'removed',
  stored_completions: 'removed',
  cache_entries: 'removed',
  context_snapshots: 'with its conversation',
  // How long the accounts of calls are kept goes on being what was asked for.
  retention_policies: 'kept',
  leases: 'none',
  limit_state: 'none',
  limits: 'none',
  limit_counters: 'none',
  usage_daily: 'kept',
  usage_rollups: 'kept',
  usage_conversations: 'kept',
  usage_pending: 'kept',
  usage_progress: 'none',
  audit_events: 'kept',
  audit_details: 'removed',
  audit_counts: 'none',
  audit_queue: 'none',
  audit_log: 'kept',
  audit_tiles: 'none',
  audit_checkpoints: 'none',
  audit_keys: 'none',
  audit_places: 'none',
  search_queue: 'removed',
  search_progress: 'removed',
} as const satisfies Record<TableName, 'removed' | 'with its conversation' | 'blanked' | 'kept' | 'none'>

/** Tables whose rows are removed page by page, with the column that tells rows of one user apart. */
export const removedTables = {
  responses: 'id',
  documents: 'id',
  stored_completions: 'id',
  cache_entries: 'id',
  idempotency_keys: 'key_hash',
  search_queue: 'id',
  search_progress: 'conversation_id',
  audit_details: 'event_id',
  login_sessions: 'id',
  user_passwords: 'user_id',
} as const

export type RemovedTable = keyof typeof removedTables
