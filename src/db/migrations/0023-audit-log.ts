import type { Migration } from '../migrate.ts'

/**
 * The log of audit events (docs/audit.md): what waits to be taken into it, one row for each event in it, the hashes of its tree, its
 * checkpoints and the keys that sign them. Events that are here already are taken in first: two rows of the queue tell up to
 * which id there are such, and how far they are taken in (`src/audit/log/backlog.ts`). Most events tell of calls that went well,
 * and the partial indexes leave those out.
 */
export const up: Migration['up'] = ({ text, integer, bytes, clustered, plainContent }) => [
  `ALTER TABLE audit_events ADD COLUMN commitment ${bytes}`,
  `CREATE TABLE audit_queue (
    id ${text} NOT NULL PRIMARY KEY,
    leaves ${bytes} NOT NULL
  )${clustered}`,
  `INSERT INTO audit_queue (id, leaves) SELECT '0-backlog-end', ${plainContent('max(id)')} FROM audit_events HAVING count(*) > 0`,
  `INSERT INTO audit_queue (id, leaves) SELECT '0-backlog-at', ${plainContent("''")} FROM audit_queue WHERE id = '0-backlog-end'`,
  `CREATE TABLE audit_log (
    leaf_index ${integer} NOT NULL PRIMARY KEY,
    event_id ${text} NOT NULL,
    user_id ${text} NOT NULL,
    action ${text} NOT NULL,
    category ${text} NOT NULL,
    severity ${text} NOT NULL,
    salt ${bytes} NOT NULL,
    commitment ${bytes} NOT NULL
  )`,
  // Two users may have made a call under one id, and the event of a choice is named after that.
  'CREATE UNIQUE INDEX audit_log_event ON audit_log (event_id, user_id)',
  'CREATE INDEX audit_log_user ON audit_log (user_id, leaf_index)',
  "CREATE INDEX audit_log_action ON audit_log (action, leaf_index) WHERE action NOT IN ('call.begun', 'call.settled')",
  "CREATE INDEX audit_log_category ON audit_log (category, leaf_index) WHERE action NOT IN ('call.begun', 'call.settled')",
  "CREATE INDEX audit_log_severity ON audit_log (severity, leaf_index) WHERE severity <> 'info'",
  `CREATE TABLE audit_tiles (
    level ${integer} NOT NULL,
    tile ${integer} NOT NULL,
    hashes ${bytes} NOT NULL,
    PRIMARY KEY (level, tile)
  )`,
  `CREATE TABLE audit_checkpoints (
    tree_size ${integer} NOT NULL PRIMARY KEY,
    root ${bytes} NOT NULL,
    note ${text} NOT NULL,
    created_at ${integer} NOT NULL
  )`,
  `CREATE TABLE audit_keys (
    id ${text} NOT NULL PRIMARY KEY,
    vkey ${text} NOT NULL,
    created_at ${integer} NOT NULL,
    retired_at ${integer}
  )${clustered}`,
]

export const down: Migration['down'] = () => [
  "DELETE FROM secrets WHERE id LIKE 'audit-key:%'",
  'DROP TABLE audit_keys',
  'DROP TABLE audit_checkpoints',
  'DROP TABLE audit_tiles',
  'DROP TABLE audit_log',
  'DROP TABLE audit_queue',
  'ALTER TABLE audit_events DROP COLUMN commitment',
]
