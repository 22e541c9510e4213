import type { Migration } from '../migrate.ts'

/**
 * What calls come to, summed up so that a report reads few rows, each call on three levels: `each` with all that a report asks
 * by, `user` by user and key alone, `all` without these two. Beside them conversations, calls that are counted out of order, and
 * how far the summing has come. Days come first: a report is about some days, of one user or of all.
 */
export const up: Migration['up'] = ({ text, integer, bytes, clustered }) => [
  `CREATE TABLE usage_rollups (
    day ${text} NOT NULL,
    level ${text} NOT NULL,
    user_id ${text} NOT NULL,
    model ${text} NOT NULL,
    provider ${text} NOT NULL,
    operation ${text} NOT NULL,
    document_type ${text} NOT NULL,
    api_key_id ${text} NOT NULL,
    calls ${integer} NOT NULL,
    errors ${integer} NOT NULL,
    input_tokens ${integer} NOT NULL,
    output_tokens ${integer} NOT NULL,
    cache_read_input_tokens ${integer} NOT NULL,
    reasoning_output_tokens ${integer} NOT NULL,
    cost_nanousd ${integer} NOT NULL,
    unpriced_calls ${integer} NOT NULL,
    timed_calls ${integer} NOT NULL,
    latency_ms ${integer} NOT NULL,
    first_chunk_calls ${integer} NOT NULL,
    time_to_first_chunk_ms ${integer} NOT NULL,
    latencies ${bytes} NOT NULL,
    first_chunks ${bytes} NOT NULL,
    PRIMARY KEY (day, level, user_id, model, provider, operation, document_type, api_key_id)
  )${clustered}`,
  `CREATE TABLE usage_conversations (
    day ${text} NOT NULL,
    user_id ${text} NOT NULL,
    conversation_id ${text} NOT NULL,
    calls ${integer} NOT NULL,
    tokens ${integer} NOT NULL,
    cost_nanousd ${integer} NOT NULL,
    PRIMARY KEY (day, user_id, conversation_id)
  )${clustered}`,
  `CREATE TABLE usage_pending (
    user_id ${text} NOT NULL,
    call_id ${text} NOT NULL,
    PRIMARY KEY (call_id, user_id)
  )${clustered}`,
  `CREATE TABLE usage_progress (
    name ${text} NOT NULL PRIMARY KEY,
    rolled_to ${text} NOT NULL,
    gone_to ${text} NOT NULL
  )${clustered}`,
]

export const down: Migration['down'] = () =>
  ['usage_progress', 'usage_pending', 'usage_conversations', 'usage_rollups'].map(
    table => `DROP TABLE ${table}`,
  )
