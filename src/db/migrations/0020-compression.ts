import type { Migration } from '../migrate.ts'

/**
 * What was sent in the place of a request: by which level and version of compression it was made, and content that the request
 * alone does not tell of it. And the level that a key asks for; null where the configuration decides.
 */
export const up: Migration['up'] = ({ text, bytes }) => [
  `ALTER TABLE llm_requests ADD COLUMN compression ${text}`,
  `ALTER TABLE llm_requests ADD COLUMN sent ${bytes}`,
  `ALTER TABLE api_keys ADD COLUMN compression ${text}`,
]

export const down: Migration['down'] = () => [
  'ALTER TABLE api_keys DROP COLUMN compression',
  'ALTER TABLE llm_requests DROP COLUMN sent',
  'ALTER TABLE llm_requests DROP COLUMN compression',
]
