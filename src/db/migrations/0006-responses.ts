import type { Migration } from '../migrate.ts'

/**
 * Responses of the Responses API: what was given, what came, and where in which conversation the reply stands, so that the
 * next one goes on from there. The words themselves are messages and calls like any other.
 */
export const up: Migration['up'] = ({ text, integer, bytes, clustered }) => [
  `CREATE TABLE responses (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    call_id ${text} NOT NULL,
    conversation_id ${text} NOT NULL,
    seq ${integer},
    previous_response_id ${text},
    status ${text} NOT NULL,
    input ${bytes} NOT NULL,
    body ${bytes} NOT NULL,
    metadata ${text},
    created_at ${integer} NOT NULL,
    deleted_at ${integer},
    PRIMARY KEY (id, user_id)
  )${clustered}`,
  'CREATE INDEX responses_user ON responses (user_id, id)',
]

export const down: Migration['down'] = () => ['DROP TABLE responses']
