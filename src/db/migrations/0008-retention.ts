import type { Migration } from '../migrate.ts'

/**
 * How long what belongs to a user is kept, where that differs from everybody's; and who does a piece of work that one
 * process at a time should do. Forks are found by their parent: what they share with it may be taken away.
 */
export const up: Migration['up'] = ({ text, integer, clustered }) => [
  `CREATE TABLE retention_policies (
    user_id ${text} NOT NULL PRIMARY KEY,
    content_days ${integer},
    metadata_days ${integer},
    inactive_days ${integer},
    updated_at ${integer} NOT NULL
  )`,
  `CREATE TABLE leases (
    name ${text} NOT NULL PRIMARY KEY,
    holder ${text} NOT NULL,
    expires_at ${integer} NOT NULL
  )${clustered}`,
  'CREATE INDEX conversations_fork ON conversations (parent_id, user_id) WHERE parent_id IS NOT NULL',
]

export const down: Migration['down'] = () => [
  'DROP INDEX conversations_fork',
  'DROP TABLE leases',
  'DROP TABLE retention_policies',
]
