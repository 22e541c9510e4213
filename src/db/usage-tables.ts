/** The sums of calls, which `tables.ts` has among its tables. */

const text = { kind: 'text', nullable: false } as const
const integer = { kind: 'integer', nullable: false } as const
const bytes = { kind: 'bytes', nullable: false } as const

export const usageTables = {
  usage_rollups: {
    day: text,
    // each, user or all; what a level does not tell apart is ''.
    level: text,
    user_id: text,
    model: text,
    provider: text,
    operation: text,
    document_type: text,
    api_key_id: text,
    calls: integer,
    errors: integer,
    input_tokens: integer,
    output_tokens: integer,
    cache_read_input_tokens: integer,
    reasoning_output_tokens: integer,
    cost_nanousd: integer,
    unpriced_calls: integer,
    timed_calls: integer,
    latency_ms: integer,
    first_chunk_calls: integer,
    time_to_first_chunk_ms: integer,
    latencies: bytes,
    first_chunks: bytes,
  },
  usage_conversations: {
    day: text,
    user_id: text,
    conversation_id: text,
    calls: integer,
    tokens: integer,
    cost_nanousd: integer,
  },
  usage_pending: { user_id: text, call_id: text },
  usage_progress: { name: text, rolled_to: text, gone_to: text },
} as const

export const usageKeys = {
  usage_rollups: ['day', 'level', 'user_id', 'model', 'provider', 'operation', 'document_type', 'api_key_id'],
  usage_conversations: ['day', 'user_id', 'conversation_id'],
  usage_pending: ['call_id', 'user_id'],
  usage_progress: ['name'],
} as const
