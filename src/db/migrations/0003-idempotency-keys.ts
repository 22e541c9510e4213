import type { Migration } from '../migrate.ts'

/**
 * Which call a client's `Idempotency-Key` stands for. Its primary key is the claim: of two requests with one key only
 * one can insert the row (docs/decisions/0006-idempotency-keys.md).
 */
export const up: Migration['up'] = ({ text, integer, clustered }) => [
  `CREATE TABLE idempotency_keys (
    user_id ${text} NOT NULL,
    key_hash ${text} NOT NULL,
    request_hash ${text} NOT NULL,
    call_id ${text} NOT NULL,
    expires_at ${integer} NOT NULL,
    PRIMARY KEY (user_id, key_hash)
  )${clustered}`,
  'CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at)',
]

export const down: Migration['down'] = () => ['DROP TABLE idempotency_keys']
