import type { Migration } from '../migrate.ts'

/**
 * What the cost of a call is computed from beside the counts that were there: who counted (`reported` or `estimated`), what
 * was written to the provider's cache, and, as a JSON object, the rest that few calls have: audio, service tier.
 */
export const up: Migration['up'] = ({ text, integer }) => [
  `ALTER TABLE llm_responses ADD COLUMN usage_source ${text}`,
  `ALTER TABLE llm_responses ADD COLUMN cache_creation_input_tokens ${integer}`,
  `ALTER TABLE llm_responses ADD COLUMN usage_details ${text}`,
]

export const down: Migration['down'] = () => [
  'ALTER TABLE llm_responses DROP COLUMN usage_details',
  'ALTER TABLE llm_responses DROP COLUMN cache_creation_input_tokens',
  'ALTER TABLE llm_responses DROP COLUMN usage_source',
]
