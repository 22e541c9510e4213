import type { Migration } from '../migrate.ts'

/** Text columns that hold what was said: they become bytes, as all content is, which can be sealed. */
const texts = [
  ['users', 'preferences', ''],
  ['conversations', 'title', ''],
  ['conversations', 'metadata', ''],
  ['conversations', 'preferences', ''],
  ['messages', 'metadata', ''],
  ['llm_responses', 'error_message', ''],
  ['responses', 'metadata', ''],
  ['stored_completions', 'metadata', " NOT NULL DEFAULT ''"],
] as const

/**
 * The keys of users' content, each wrapped by the master key; a destroyed one leaves its row and nothing to unwrap. Of a user
 * one key at most is the current one, whoever makes it. `content_mode` says how what is said by a user, or with a key, is
 * kept, where that differs from everybody's.
 */
export const up: Migration['up'] = ({ text, integer, bytes, clustered, plainContent }) => [
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
  ...texts.flatMap(([table, column, rest]) => [
    `ALTER TABLE ${table} ADD COLUMN ${column}_content ${bytes}${rest}`,
    `UPDATE ${table} SET ${column}_content = ${plainContent(column)} WHERE ${column} IS NOT NULL`,
    `ALTER TABLE ${table} DROP COLUMN ${column}`,
    `ALTER TABLE ${table} RENAME COLUMN ${column}_content TO ${column}`,
  ]),
  `ALTER TABLE users ADD COLUMN content_mode ${text}`,
  `ALTER TABLE api_keys ADD COLUMN content_mode ${text}`,
]

/** What is encrypted cannot be read without its keys: with any of them there is no way back. */
export const down: Migration['down'] = ({ text, integer, textOfContent }) => [
  `CREATE TABLE content_is_encrypted (keys ${integer} CONSTRAINT content_is_encrypted CHECK (keys = 0))`,
  'INSERT INTO content_is_encrypted SELECT count(*) FROM data_keys',
  'DROP TABLE content_is_encrypted',
  'ALTER TABLE api_keys DROP COLUMN content_mode',
  'ALTER TABLE users DROP COLUMN content_mode',
  ...texts
    .toReversed()
    .flatMap(([table, column, rest]) => [
      `ALTER TABLE ${table} ADD COLUMN ${column}_text ${text}${rest}`,
      `UPDATE ${table} SET ${column}_text = ${textOfContent(column)} WHERE ${column} IS NOT NULL`,
      `ALTER TABLE ${table} DROP COLUMN ${column}`,
      `ALTER TABLE ${table} RENAME COLUMN ${column}_text TO ${column}`,
    ]),
  'DROP TABLE data_keys',
]
