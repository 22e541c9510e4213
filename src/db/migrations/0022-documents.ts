import type { Migration } from '../migrate.ts'

/**
 * Documents that models generate, and the types by which they do. A type is configuration and belongs to nobody; its
 * versions never change. A document has the name of the first call that is made for it. Documents that are being made are
 * found by the process that makes them; the other indexes serve a user's lists and the history of what was made again.
 */
export const up: Migration['up'] = ({ text, integer, bytes, clustered }) => [
  `CREATE TABLE document_types (
    name ${text} NOT NULL,
    version ${text} NOT NULL,
    number ${integer} NOT NULL,
    definition ${text} NOT NULL,
    created_by ${text} NOT NULL,
    created_at ${integer} NOT NULL,
    PRIMARY KEY (name, version)
  )${clustered}`,
  'CREATE UNIQUE INDEX document_types_number ON document_types (name, number)',
  `CREATE TABLE documents (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    call_id ${text} NOT NULL,
    document_type ${text} NOT NULL,
    document_version ${text} NOT NULL,
    root_id ${text} NOT NULL,
    previous_id ${text},
    number ${integer} NOT NULL,
    status ${text} NOT NULL,
    api_key_id ${text},
    instance_id ${text} NOT NULL,
    input ${bytes} NOT NULL,
    output ${bytes},
    error_code ${text},
    error_message ${bytes},
    total_tokens ${integer},
    created_at ${integer} NOT NULL,
    ended_at ${integer},
    deleted_at ${integer},
    PRIMARY KEY (id, user_id)
  )${clustered}`,
  'CREATE INDEX documents_user ON documents (user_id, id)',
  'CREATE INDEX documents_type ON documents (user_id, document_type, id)',
  'CREATE UNIQUE INDEX documents_history ON documents (root_id, user_id, number)',
  "CREATE INDEX documents_open ON documents (instance_id) WHERE status = 'in_progress'",
  `ALTER TABLE llm_requests ADD COLUMN document_type ${text}`,
  `ALTER TABLE llm_requests ADD COLUMN document_version ${text}`,
]

export const down: Migration['down'] = () => [
  'ALTER TABLE llm_requests DROP COLUMN document_version',
  'ALTER TABLE llm_requests DROP COLUMN document_type',
  'DROP TABLE documents',
  'DROP TABLE document_types',
]
