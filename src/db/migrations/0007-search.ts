import type { Migration } from '../migrate.ts'

/**
 * The search index, and the queue of what is to be put in it. Rows are queued in the transaction that writes the
 * messages, and taken out in the one that writes the index, so nothing is missed, whoever dies. What is on record by now
 * is queued whole. The key begins with the id, so that what calls queue goes to one page, whoever their users are; what waits of
 * one user is looked for among all that waits, which is little.
 */
export const up: Migration['up'] = ({ text, integer, clustered, searchIndex }) => [
  `CREATE TABLE search_queue (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    conversation_id ${text} NOT NULL,
    from_seq ${integer} NOT NULL,
    to_seq ${integer} NOT NULL,
    PRIMARY KEY (id, user_id)
  )${clustered}`,
  ...searchIndex.make,
  `INSERT INTO search_queue (user_id, id, conversation_id, from_seq, to_seq)
    SELECT user_id, 'srch_' || substr(id, 6), id, coalesce(parent_seq, -1) + 1, next_seq - 1 FROM conversations
    WHERE next_seq > coalesce(parent_seq, -1) + 1`,
]

export const down: Migration['down'] = ({ searchIndex }) => [...searchIndex.remove, 'DROP TABLE search_queue']
