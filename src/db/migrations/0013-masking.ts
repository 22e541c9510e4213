import type { Migration } from '../migrate.ts'

/** Where a key demands that what is told of people is masked: `before-llm`, `in-storage`, or both; null for nowhere. */
export const up: Migration['up'] = ({ text }) => [`ALTER TABLE api_keys ADD COLUMN masking ${text}`]

export const down: Migration['down'] = () => ['ALTER TABLE api_keys DROP COLUMN masking']
