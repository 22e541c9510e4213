import type { Migration } from '../migrate.ts'

/**
 * What applications keep of conversations beside their messages. `session_id` is the application's own name for a
 * conversation; only conversations that have one are found by when they were last used, so that the others, which every
 * call of a gateway touches, pay for no such index.
 */
export const up: Migration['up'] = ({ text, integer, bytes, clustered }) => [
  `ALTER TABLE users ADD COLUMN preferences ${text}`,
  `ALTER TABLE conversations ADD COLUMN intent ${text}`,
  `ALTER TABLE conversations ADD COLUMN preferences ${text}`,
  `ALTER TABLE conversations ADD COLUMN session_id ${text}`,
  `CREATE UNIQUE INDEX conversations_session ON conversations (user_id, session_id)
    WHERE session_id IS NOT NULL AND deleted_at IS NULL`,
  `CREATE INDEX conversations_recent ON conversations (user_id, updated_at, id)
    WHERE session_id IS NOT NULL AND deleted_at IS NULL`,
  `ALTER TABLE messages ADD COLUMN intent ${text}`,
  `ALTER TABLE messages ADD COLUMN cost_nanousd ${integer}`,
  `ALTER TABLE messages ADD COLUMN metadata ${text}`,
  `ALTER TABLE messages ADD COLUMN deleted_at ${integer}`,
  'CREATE INDEX llm_requests_conversation ON llm_requests (conversation_id)',
  `CREATE TABLE context_snapshots (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    conversation_id ${text} NOT NULL,
    up_to_seq ${integer} NOT NULL,
    content ${bytes} NOT NULL,
    created_at ${integer} NOT NULL,
    PRIMARY KEY (id, user_id)
  )${clustered}`,
  'CREATE INDEX context_snapshots_place ON context_snapshots (conversation_id, user_id, up_to_seq)',
]

export const down: Migration['down'] = () => [
  'DROP TABLE context_snapshots',
  'DROP INDEX llm_requests_conversation',
  ...['deleted_at', 'metadata', 'cost_nanousd', 'intent'].map(
    column => `ALTER TABLE messages DROP COLUMN ${column}`,
  ),
  'DROP INDEX conversations_recent',
  'DROP INDEX conversations_session',
  ...['session_id', 'preferences', 'intent'].map(column => `ALTER TABLE conversations DROP COLUMN ${column}`),
  'ALTER TABLE users DROP COLUMN preferences',
]
