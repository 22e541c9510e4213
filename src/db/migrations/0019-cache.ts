import type { Migration } from '../migrate.ts'

/**
 * Answers that may be given again. An entry belongs to the user whose call made it, also where it is shared: `partition_key`
 * is '' for one that only this user is given, else the name of what it is shared in. What a call that was answered so did
 * not cost stands with its reply. A key may say how its calls are cached.
 */
export const up: Migration['up'] = ({ text, integer, bytes }) => [
  `CREATE TABLE cache_entries (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    partition_key ${text} NOT NULL,
    entry_hash ${text} NOT NULL,
    context_hash ${text},
    call_id ${text} NOT NULL,
    provider ${text} NOT NULL,
    model ${text} NOT NULL,
    bytes ${integer} NOT NULL,
    hits ${integer} NOT NULL,
    created_at ${integer} NOT NULL,
    last_used_at ${integer} NOT NULL,
    expires_at ${integer} NOT NULL,
    response ${bytes} NOT NULL,
    embedding ${bytes},
    PRIMARY KEY (user_id, id)
  )`,
  'CREATE INDEX cache_entries_entry ON cache_entries (entry_hash)',
  'CREATE INDEX cache_entries_context ON cache_entries (context_hash, id) WHERE context_hash IS NOT NULL',
  'CREATE INDEX cache_entries_call ON cache_entries (user_id, call_id)',
  'CREATE INDEX cache_entries_use ON cache_entries (last_used_at, bytes)',
  'CREATE INDEX cache_entries_expiry ON cache_entries (expires_at)',
  `ALTER TABLE llm_responses ADD COLUMN cache_hit ${text}`,
  `ALTER TABLE llm_responses ADD COLUMN saved_input_tokens ${integer}`,
  `ALTER TABLE llm_responses ADD COLUMN saved_output_tokens ${integer}`,
  `ALTER TABLE llm_responses ADD COLUMN saved_nanousd ${integer}`,
  `ALTER TABLE api_keys ADD COLUMN cache ${text}`,
]

export const down: Migration['down'] = () => [
  'ALTER TABLE api_keys DROP COLUMN cache',
  'ALTER TABLE llm_responses DROP COLUMN saved_nanousd',
  'ALTER TABLE llm_responses DROP COLUMN saved_output_tokens',
  'ALTER TABLE llm_responses DROP COLUMN saved_input_tokens',
  'ALTER TABLE llm_responses DROP COLUMN cache_hit',
  'DROP TABLE cache_entries',
]
