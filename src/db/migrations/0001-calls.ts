import type { Migration } from '../migrate.ts'

/**
 * Users, keys, conversations, calls, usage and audit: what recording a call needs. Keys start with the id that sorts by
 * time, not with the user: new rows of all users then share the last page of the key's index, where with the user first
 * each would dirty a page of its own (docs/decisions/0002-time-first-keys.md).
 */
export const up: Migration['up'] = ({ text, integer, bytes, clustered, partitionedBy, afterPartitioned }) => [
  `CREATE TABLE users (
    id ${text} PRIMARY KEY,
    email ${text},
    username ${text},
    role ${text} NOT NULL,
    status ${text} NOT NULL,
    created_at ${integer} NOT NULL,
    deleted_at ${integer}
  )`,
  `CREATE TABLE api_keys (
    id ${text} PRIMARY KEY,
    user_id ${text} NOT NULL,
    name ${text} NOT NULL,
    prefix ${text} NOT NULL,
    key_hash ${text} NOT NULL UNIQUE,
    scopes ${text} NOT NULL,
    created_at ${integer} NOT NULL,
    expires_at ${integer},
    revoked_at ${integer},
    last_used_at ${integer}
  )`,
  `CREATE TABLE secrets (
    id ${text} PRIMARY KEY,
    wrapped_key ${bytes} NOT NULL,
    master_key_id ${text} NOT NULL,
    created_at ${integer} NOT NULL
  )`,
  `CREATE TABLE instances (
    id ${text} PRIMARY KEY,
    host ${text} NOT NULL,
    pid ${integer} NOT NULL,
    started_at ${integer} NOT NULL,
    heartbeat_at ${integer} NOT NULL,
    open_since ${text} NOT NULL
  )`,
  `CREATE TABLE conversations (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    title ${text},
    status ${text} NOT NULL,
    metadata ${text},
    next_seq ${integer} NOT NULL,
    parent_id ${text},
    parent_seq ${integer},
    created_at ${integer} NOT NULL,
    updated_at ${integer} NOT NULL,
    deleted_at ${integer},
    PRIMARY KEY (id, user_id)
  )${clustered}`,
  'CREATE INDEX conversations_user ON conversations (user_id, id)',
  `CREATE TABLE messages (
    user_id ${text} NOT NULL,
    conversation_id ${text} NOT NULL,
    seq ${integer} NOT NULL,
    id ${text} NOT NULL,
    role ${text} NOT NULL,
    content ${bytes} NOT NULL,
    model ${text},
    chain_hash ${text} NOT NULL,
    is_anchor ${integer} NOT NULL,
    wire_hash ${text} NOT NULL,
    echo_from ${integer},
    echo ${bytes},
    call_id ${text},
    created_at ${integer} NOT NULL,
    PRIMARY KEY (conversation_id, user_id, seq)
  )${partitionedBy('conversation_id')}`,
  ...afterPartitioned('messages'),
  'CREATE INDEX messages_anchor ON messages (user_id, chain_hash) WHERE is_anchor = 1',
  `CREATE TABLE llm_requests (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    conversation_id ${text} NOT NULL,
    up_to_seq ${integer} NOT NULL,
    api_key_id ${text},
    instance_id ${text} NOT NULL,
    provider ${text} NOT NULL,
    request_model ${text} NOT NULL,
    operation ${text} NOT NULL,
    params ${bytes},
    messages_at ${integer},
    separator ${text},
    body ${bytes},
    prompt_hash ${text} NOT NULL,
    created_at ${integer} NOT NULL,
    PRIMARY KEY (id, user_id)
  )${clustered}${partitionedBy('id')}`,
  ...afterPartitioned('llm_requests'),
  'CREATE INDEX llm_requests_user ON llm_requests (user_id, id)',
  `CREATE TABLE llm_responses (
    user_id ${text} NOT NULL,
    request_id ${text} NOT NULL,
    status ${text} NOT NULL,
    http_status ${integer},
    content_type ${text},
    body ${bytes},
    content_at ${integer},
    conversation_id ${text},
    seq ${integer},
    response_model ${text},
    provider_response_id ${text},
    finish_reasons ${text},
    input_tokens ${integer},
    output_tokens ${integer},
    cache_read_input_tokens ${integer},
    reasoning_output_tokens ${integer},
    cost_nanousd ${integer},
    latency_ms ${integer},
    time_to_first_chunk_ms ${integer},
    error_code ${text},
    error_message ${text},
    created_at ${integer} NOT NULL,
    PRIMARY KEY (request_id, user_id)
  )${partitionedBy('request_id')}`,
  ...afterPartitioned('llm_responses'),
  `CREATE TABLE usage_daily (
    user_id ${text} NOT NULL,
    day ${text} NOT NULL,
    model ${text} NOT NULL,
    calls ${integer} NOT NULL,
    errors ${integer} NOT NULL,
    input_tokens ${integer} NOT NULL,
    output_tokens ${integer} NOT NULL,
    cost_nanousd ${integer} NOT NULL,
    unpriced_calls ${integer} NOT NULL,
    PRIMARY KEY (user_id, day, model)
  )${clustered}`,
  `CREATE TABLE audit_events (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    actor ${text} NOT NULL,
    action ${text} NOT NULL,
    category ${text} NOT NULL,
    severity ${text} NOT NULL,
    target ${text},
    outcome ${text} NOT NULL,
    details ${text},
    created_at ${integer} NOT NULL,
    PRIMARY KEY (id, user_id)
  )${clustered}${partitionedBy('id')}`,
  ...afterPartitioned('audit_events'),
]

export const down: Migration['down'] = () =>
  [
    'audit_events',
    'usage_daily',
    'llm_responses',
    'llm_requests',
    'messages',
    'conversations',
    'instances',
    'secrets',
    'api_keys',
    'users',
  ].map(table => `DROP TABLE ${table}`)
