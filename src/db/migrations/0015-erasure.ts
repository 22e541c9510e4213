import type { Migration } from '../migrate.ts'

/**
 * When a user was erased, who may have come back since: what was begun before stays without content, however late it
 * arrives. Erasures that are not finished are found by their index.
 */
export const up: Migration['up'] = ({ integer }) => [
  `ALTER TABLE users ADD COLUMN erased_at ${integer}`,
  "CREATE INDEX users_erasing ON users (id) WHERE status = 'erasing'",
]

export const down: Migration['down'] = () => [
  'DROP INDEX users_erasing',
  'ALTER TABLE users DROP COLUMN erased_at',
]
