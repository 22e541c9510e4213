import type { Migration } from '../migrate.ts'

/**
 * The keys of users' content, each wrapped by the master key; a destroyed one leaves its row and nothing to unwrap. Of a user
 * one key at most is the current one, whoever makes it.
 */
export const up: Migration['up'] = ({ text, integer, bytes, clustered }) => [
  `CREATE TABLE data_keys (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    wrapped_key ${bytes},
    master_key_id ${text} NOT NULL,
    created_at ${integer} NOT NULL,
    retired_at ${integer},
    destroyed_at ${integer},
    PRIMARY KEY (user_id, id)
  )${clustered}`,
  `CREATE UNIQUE INDEX data_keys_current ON data_keys (user_id)
    WHERE retired_at IS NULL AND destroyed_at IS NULL`,
]

export const down: Migration['down'] = () => ['DROP TABLE data_keys']
