import type { Kysely } from 'kysely'
import type { ColumnName, TableName, Tables } from '../db/tables.ts'
import type { LineOf } from './export-format.ts'
import { countRows, pagesOf } from './pages.ts'

/**
 * What is held on a person beside the record, for whom it is about: no other store takes it in. Without what lets somebody in,
 * even hashed, and without keys.
 */
const heldColumns: { readonly [T in TableName]?: readonly ColumnName<T>[] } = {
  api_keys: [
    'id',
    'name',
    'prefix',
    'scopes',
    'created_at',
    'expires_at',
    'revoked_at',
    'last_used_at',
    'content_mode',
    'previous_expires_at',
    'rotated_at',
    'issued_by',
    'masking',
    'cache',
    'compression',
  ],
  user_passwords: ['is_temporary', 'changed_at'],
  login_sessions: ['id', 'place', 'created_at', 'last_seen_at', 'expires_at', 'ended_at'],
  break_glass_grants: ['id', 'holder', 'reason', 'granted_by', 'created_at', 'expires_at', 'revoked_at'],
  data_keys: ['id', 'master_key_id', 'created_at', 'retired_at', 'destroyed_at'],
  idempotency_keys: ['call_id', 'expires_at'],
  cache_entries: [
    'id',
    'partition_key',
    'call_id',
    'provider',
    'model',
    'hits',
    'created_at',
    'last_used_at',
    'expires_at',
  ],
  retention_policies: ['content_days', 'metadata_days', 'inactive_days', 'updated_at'],
  usage_daily: [
    'day',
    'model',
    'calls',
    'errors',
    'input_tokens',
    'output_tokens',
    'cost_nanousd',
    'unpriced_calls',
  ],
}

const heldTables = Object.entries(heldColumns) as [keyof typeof heldColumns, readonly string[]][]

/** How many lines `factsHeld` gives. */
export async function countFactsHeld(db: Kysely<Tables>, userId: string): Promise<number> {
  let total = 0
  for (const [table] of heldTables) total += await countRows(db, table, { userId })
  return total
}

export async function* factsHeld(db: Kysely<Tables>, userId: string): AsyncGenerator<LineOf<'held'>> {
  for (const [table, columns] of heldTables)
    for await (const rows of pagesOf(db, table, { userId }))
      for (const row of rows as readonly object[]) {
        const facts = Object.entries(row).filter(([column]) => columns.includes(column))
        yield { type: 'held', user_id: userId, table, row: Object.fromEntries(facts) }
      }
}
