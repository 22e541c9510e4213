import type { Migration } from '../migrate.ts'

/**
 * Calls that were made for one request: the further attempts name the first. The index leaves the first ones out, which
 * nearly all calls are: what it costs is paid by repeated calls alone.
 */
export const up: Migration['up'] = ({ text }) => [
  `ALTER TABLE llm_requests ADD COLUMN group_id ${text}`,
  `ALTER TABLE llm_requests ADD COLUMN route_mode ${text}`,
  'CREATE INDEX llm_requests_group ON llm_requests (group_id, user_id) WHERE route_mode IS NOT NULL',
]

export const down: Migration['down'] = () => [
  'DROP INDEX llm_requests_group',
  'ALTER TABLE llm_requests DROP COLUMN route_mode',
  'ALTER TABLE llm_requests DROP COLUMN group_id',
]
