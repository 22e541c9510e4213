import type { Migration } from '../migrate.ts'

/**
 * Chat completions that clients asked to be stored, by the ids they got them under. The index serves their list, which
 * goes by the time of their calls.
 */
export const up: Migration['up'] = ({ text, integer, clustered }) => [
  `CREATE TABLE stored_completions (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    call_id ${text} NOT NULL,
    model ${text} NOT NULL,
    metadata ${text} NOT NULL,
    created_at ${integer} NOT NULL,
    deleted_at ${integer},
    PRIMARY KEY (user_id, id)
  )${clustered}`,
  'CREATE INDEX stored_completions_call ON stored_completions (user_id, call_id)',
]

export const down: Migration['down'] = () => ['DROP TABLE stored_completions']
