import type { Migration } from '../migrate.ts'

/**
 * How far the log of audit events has come in the places outside the database where it is taken to (docs/audit.md): a folder of
 * files, a webhook, a witness.
 */
export const up: Migration['up'] = ({ text, integer, clustered }) => [
  `CREATE TABLE audit_places (
    id ${text} PRIMARY KEY,
    position ${integer} NOT NULL,
    updated_at ${integer} NOT NULL
  )${clustered}`,
]

export const down: Migration['down'] = () => ['DROP TABLE audit_places']
