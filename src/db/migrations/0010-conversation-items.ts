import type { Migration } from '../migrate.ts'

/**
 * What a message stands for as items of a conversation, where the message itself does not tell: items that chat messages
 * have no words for, and those that are deleted while others of the same message stay.
 */
export const up: Migration['up'] = ({ bytes }) => [`ALTER TABLE messages ADD COLUMN items ${bytes}`]

export const down: Migration['down'] = () => ['ALTER TABLE messages DROP COLUMN items']
