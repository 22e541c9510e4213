import type { ForeignTypes } from './foreign.ts'

/**
 * The tables of the programs that can be imported from, as they describe them. Foreign keys are left out: a database that
 * does not enforce them (SQLite does not unless told so) holds rows without a parent.
 */
export const schemas = {
  synthlang: ({ counter, bytes, boolean, timeZone }: ForeignTypes) => [
    `CREATE TABLE interactions (id ${counter}, user_id VARCHAR, model VARCHAR, prompt_enc ${bytes}, response_enc ${bytes},
      cache_hit ${boolean}, prompt_tokens INTEGER, response_tokens INTEGER, timestamp ${timeZone})`,
    'CREATE INDEX ix_interactions_user_id ON interactions (user_id)',
  ],
  bitesoft: ({ time }: ForeignTypes) => [
    `CREATE TABLE audit_logs (id VARCHAR PRIMARY KEY, user_id VARCHAR NOT NULL, document_type VARCHAR NOT NULL,
      document_version VARCHAR NOT NULL DEFAULT '1.0', input_data VARCHAR NOT NULL, generated_text VARCHAR NOT NULL,
      model_used VARCHAR NOT NULL DEFAULT 'gpt-4o', tokens_used INTEGER, generation_time_ms INTEGER, created_at ${time},
      status VARCHAR NOT NULL, error_message VARCHAR)`,
    'CREATE INDEX ix_audit_logs_user_id ON audit_logs (user_id)',
  ],
  procode: ({ counter, time, json, float, boolean }: ForeignTypes) => [
    `CREATE TABLE users (id ${counter}, email VARCHAR(255) NOT NULL, username VARCHAR(100) NOT NULL,
      hashed_password VARCHAR(255) NOT NULL, full_name VARCHAR(255), role VARCHAR(50) NOT NULL DEFAULT 'user',
      is_active ${boolean} NOT NULL, is_verified ${boolean} NOT NULL, api_key VARCHAR(255), created_at ${time},
      updated_at ${time}, last_login ${time.replace(/ DEFAULT.*/, '')})`,
    `CREATE TABLE conversations (id VARCHAR(255) PRIMARY KEY, user_id INTEGER, title VARCHAR(255), intent VARCHAR(100),
      status VARCHAR(50) NOT NULL DEFAULT 'active', created_at ${time}, updated_at ${time})`,
    `CREATE TABLE messages (id ${counter}, conversation_id VARCHAR(255) NOT NULL, role VARCHAR(50), content TEXT,
      message_id VARCHAR(255), intent VARCHAR(100), model_used VARCHAR(100), cost ${float} DEFAULT 0.0,
      extra_metadata ${json}, created_at ${time})`,
    'CREATE INDEX idx_conversation_created ON messages (conversation_id, created_at)',
    `CREATE TABLE audit_logs (id ${counter}, user_id INTEGER, event_type VARCHAR(100) NOT NULL,
      event_category VARCHAR(50) NOT NULL, severity VARCHAR(20) NOT NULL DEFAULT 'info', description TEXT NOT NULL,
      ip_address VARCHAR(45), user_agent VARCHAR(500), extra_metadata ${json}, created_at ${time})`,
    'CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)',
  ],
  cortexai: ({ uuid, timeZone, date, money, boolean }: ForeignTypes) => [
    `CREATE TABLE users (id ${uuid} PRIMARY KEY, email TEXT, display_name TEXT, is_active ${boolean} NOT NULL,
      created_at ${timeZone})`,
    `CREATE TABLE api_keys (id ${uuid} PRIMARY KEY, user_id ${uuid} NOT NULL, key_hash TEXT NOT NULL, label TEXT,
      created_at ${timeZone})`,
    `CREATE TABLE sessions (id ${uuid} PRIMARY KEY, user_id ${uuid} NOT NULL, title TEXT, mode TEXT NOT NULL DEFAULT 'ask',
      created_at ${timeZone}, updated_at ${timeZone})`,
    `CREATE TABLE messages (id ${uuid} PRIMARY KEY, session_id ${uuid}, role TEXT NOT NULL, content TEXT NOT NULL,
      created_at ${timeZone})`,
    `CREATE TABLE llm_requests (id ${uuid} PRIMARY KEY, user_id ${uuid} NOT NULL, session_id ${uuid}, request_id TEXT,
      route_mode TEXT NOT NULL DEFAULT 'ask', provider TEXT NOT NULL, model TEXT NOT NULL, prompt_sha256 TEXT,
      prompt_stored ${boolean}, prompt_text TEXT, input_tokens_est INTEGER, api_key_id ${uuid}, created_at ${timeZone})`,
    `CREATE TABLE llm_responses (id ${uuid} PRIMARY KEY, llm_request_id ${uuid} NOT NULL, text TEXT, finish_reason TEXT,
      latency_ms INTEGER, prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER, estimated_cost ${money},
      error_type TEXT, error_message TEXT, created_at ${timeZone})`,
    `CREATE TABLE usage_daily (user_id ${uuid} NOT NULL, usage_date ${date} NOT NULL, total_requests INTEGER NOT NULL,
      total_tokens INTEGER NOT NULL, total_cost ${money} NOT NULL, PRIMARY KEY (user_id, usage_date))`,
    `CREATE TABLE context_snapshots (id ${uuid} PRIMARY KEY, user_id ${uuid} NOT NULL, session_id ${uuid} NOT NULL,
      base_message_id ${uuid}, context_hash TEXT NOT NULL, context_text TEXT NOT NULL, created_at ${timeZone})`,
    `CREATE TABLE user_preferences (id ${uuid} PRIMARY KEY, user_id ${uuid} NOT NULL, default_mode TEXT,
      default_provider TEXT, default_model TEXT, cost_bias TEXT, created_at ${timeZone}, updated_at ${timeZone})`,
  ],
  'chat-coach': ({ counter, time }: ForeignTypes) => [
    `CREATE TABLE users (user_id TEXT PRIMARY KEY, created_at ${time}, updated_at ${time})`,
    `CREATE TABLE sessions (session_id TEXT, user_id TEXT, created_at ${time}, last_accessed ${time},
      PRIMARY KEY (session_id, user_id))`,
    `CREATE TABLE messages (id ${counter}, session_id TEXT NOT NULL, user_id TEXT NOT NULL, role TEXT NOT NULL,
      content TEXT NOT NULL, created_at ${time})`,
    'CREATE INDEX idx_messages_session ON messages (session_id, user_id)',
  ],
} as const
