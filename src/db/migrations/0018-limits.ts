import type { Migration } from '../migrate.ts'

/**
 * Limits, and what is counted against them: one counter for each window of whatever a limit is for. A call that any limit of tokens or
 * money applies to says what it has reserved.
 */
export const up: Migration['up'] = ({ text, integer, clustered }) => [
  `CREATE TABLE limit_state (
    name ${text} NOT NULL PRIMARY KEY,
    version ${integer} NOT NULL,
    time_zone ${text} NOT NULL,
    shapes ${text} NOT NULL
  )`,
  `CREATE TABLE limits (
    scope ${text} NOT NULL,
    subject ${text} NOT NULL,
    model ${text} NOT NULL,
    period ${text} NOT NULL,
    requests ${integer},
    tokens ${integer},
    nanousd ${integer},
    counted_from ${integer} NOT NULL,
    updated_at ${integer} NOT NULL,
    PRIMARY KEY (scope, subject, model, period)
  )${clustered}`,
  `CREATE TABLE limit_counters (
    scope ${text} NOT NULL,
    subject ${text} NOT NULL,
    model ${text} NOT NULL,
    period ${text} NOT NULL,
    window_start ${integer} NOT NULL,
    window_end ${integer} NOT NULL,
    requests ${integer} NOT NULL,
    tokens ${integer} NOT NULL,
    nanousd ${integer} NOT NULL,
    PRIMARY KEY (scope, subject, model, period, window_start)
  )${clustered}`,
  'CREATE INDEX limit_counters_end ON limit_counters (window_end)',
  `ALTER TABLE llm_requests ADD COLUMN reserved_tokens ${integer}`,
  `ALTER TABLE llm_requests ADD COLUMN reserved_nanousd ${integer}`,
]

export const down: Migration['down'] = () => [
  'ALTER TABLE llm_requests DROP COLUMN reserved_nanousd',
  'ALTER TABLE llm_requests DROP COLUMN reserved_tokens',
  'DROP TABLE limit_counters',
  'DROP TABLE limits',
  'DROP TABLE limit_state',
]
