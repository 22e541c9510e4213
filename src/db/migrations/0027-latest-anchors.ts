import type { Migration } from '../migrate.ts'

const anchors = (columns: string): string[] => [
  'DROP INDEX messages_anchor',
  `CREATE INDEX messages_anchor ON messages (${columns}) WHERE is_anchor = 1`,
]

/** Any number of conversations may begin alike: the latest of them are found without reading the others. */
export const up: Migration['up'] = () => anchors('user_id, chain_hash, conversation_id')

export const down: Migration['down'] = () => anchors('user_id, chain_hash')
