import type { Migration } from '../migrate.ts'

/**
 * How far each conversation is indexed for search, so that what calls say need not be queued: it is found by their
 * requests. The queue keeps what is not found so. The index is made anew, of tokens instead of words: `key_id` names the key
 * that a conversation's were made with. What is on record by now is queued whole.
 */
export const up: Migration['up'] = ({ text, integer, clustered, searchIndex, blindSearchIndex }) => [
  ...searchIndex.remove,
  ...blindSearchIndex.make,
  'DROP TABLE search_queue',
  `CREATE TABLE search_queue (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    conversation_id ${text} NOT NULL,
    from_seq ${integer},
    PRIMARY KEY (id, user_id)
  )${clustered}`,
  'CREATE INDEX search_queue_conversation ON search_queue (user_id, conversation_id)',
  `CREATE TABLE search_progress (
    user_id ${text} NOT NULL,
    conversation_id ${text} NOT NULL,
    next_seq ${integer} NOT NULL,
    key_id ${text} NOT NULL,
    PRIMARY KEY (user_id, conversation_id)
  )${clustered}`,
  `INSERT INTO search_queue (user_id, id, conversation_id, from_seq)
    SELECT user_id, 'srch_' || substr(id, 6), id, coalesce(parent_seq, -1) + 1 FROM conversations
    WHERE next_seq > coalesce(parent_seq, -1) + 1`,
]

export const down: Migration['down'] = ({ text, integer, clustered, searchIndex, blindSearchIndex }) => [
  ...blindSearchIndex.remove,
  ...searchIndex.make,
  'DROP TABLE search_progress',
  'DROP TABLE search_queue',
  `CREATE TABLE search_queue (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    conversation_id ${text} NOT NULL,
    from_seq ${integer} NOT NULL,
    to_seq ${integer} NOT NULL,
    PRIMARY KEY (id, user_id)
  )${clustered}`,
  `INSERT INTO search_queue (user_id, id, conversation_id, from_seq, to_seq)
    SELECT user_id, 'srch_' || substr(id, 6), id, coalesce(parent_seq, -1) + 1, next_seq - 1 FROM conversations
    WHERE next_seq > coalesce(parent_seq, -1) + 1`,
]
