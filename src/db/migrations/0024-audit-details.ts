import type { Migration } from '../migrate.ts'

/**
 * What applications say of a user in audit events: content, sealed with the user's key, beside events that only commit to it. How
 * many events there are of each day and kind, for reports. And what events are found by that are not the mass of calls: by
 * what they are about and by who did it.
 */
export const up: Migration['up'] = ({ text, integer, bytes, clustered }) => [
  `CREATE TABLE audit_details (
    user_id ${text} NOT NULL,
    event_id ${text} NOT NULL,
    content ${bytes} NOT NULL,
    created_at ${integer} NOT NULL,
    PRIMARY KEY (user_id, event_id)
  )${clustered}`,
  `CREATE TABLE audit_counts (
    day ${text} NOT NULL,
    action ${text} NOT NULL,
    category ${text} NOT NULL,
    severity ${text} NOT NULL,
    events ${integer} NOT NULL,
    PRIMARY KEY (day, action, category, severity)
  )${clustered}`,
  "CREATE INDEX audit_events_target ON audit_events (target, id) WHERE action NOT IN ('call.begun', 'call.settled')",
  "CREATE INDEX audit_events_actor ON audit_events (actor, id) WHERE action NOT IN ('call.begun', 'call.settled')",
]

export const down: Migration['down'] = () => [
  'DROP INDEX audit_events_actor',
  'DROP INDEX audit_events_target',
  'DROP TABLE audit_counts',
  'DROP TABLE audit_details',
]
