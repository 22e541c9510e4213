/**
 * The recorder's shape of work on PostgreSQL, reduced to what a driver sees: two transactions a batch, each a
 * handful of multi-row statements over partitioned tables.
 */
import { randomBytes } from 'node:crypto'
import type { Column, Encoding, Value } from './postgres-encodings.ts'
import type { PreparedCall } from './postgres-sessions.ts'

export const CONTENT_BYTES = 400
const USERS = 256

/** Users belong to one lane each, so that two batches in flight never wait for each other's rows. */
export const usersOfLane = (lane: number, lanes: number): number[] =>
  Array.from({ length: USERS }, (_, i) => i).filter(user => user % lanes === lane)

const month = (table: string) => `
  CREATE TABLE ${table}_month PARTITION OF ${table} FOR VALUES FROM ('01') TO ('02');
  CREATE TABLE ${table}_default PARTITION OF ${table} DEFAULT;`

export const schema = `
  CREATE TABLE conversations (user_id text, id text, next_seq bigint NOT NULL, updated_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, id));
  CREATE TABLE messages (user_id text, id text, conversation_id text NOT NULL, seq bigint NOT NULL, role text NOT NULL,
    content bytea NOT NULL, chain_hash text NOT NULL, call_id text NOT NULL, created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, id)) PARTITION BY RANGE (id);
  CREATE TABLE llm_requests (user_id text, id text, conversation_id text NOT NULL, up_to_seq bigint NOT NULL,
    provider text NOT NULL, request_model text NOT NULL, operation text NOT NULL, prompt_hash text NOT NULL,
    created_at timestamptz NOT NULL, PRIMARY KEY (user_id, id)) PARTITION BY RANGE (id);
  CREATE TABLE llm_responses (user_id text, request_id text, status text NOT NULL, response_model text NOT NULL,
    provider_response_id text NOT NULL, finish_reasons text NOT NULL, input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL, cost_nanousd bigint NOT NULL, latency_ms bigint NOT NULL,
    created_at timestamptz NOT NULL, PRIMARY KEY (user_id, request_id)) PARTITION BY RANGE (request_id);
  CREATE TABLE usage_daily (user_id text, day text, model text, calls bigint NOT NULL, input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL, cost_nanousd bigint NOT NULL, PRIMARY KEY (user_id, day, model));
  ${['messages', 'llm_requests', 'llm_responses'].map(month).join('')}
  CREATE INDEX ON messages (user_id, conversation_id, seq);
  INSERT INTO conversations SELECT 'user-' || n, 'conv_' || n, 1, now() FROM generate_series(0, ${USERS - 1}) n;`

export const reset = `TRUNCATE messages, llm_requests, llm_responses, usage_daily; UPDATE conversations SET next_seq = 1;
  VACUUM conversations; CHECKPOINT`

const columnsOf = (text: string): Column[] =>
  text.split(',').map(part => {
    const [name = '', type = 'text'] = part.trim().split(' ')
    return { name, type: type as Column['type'] }
  })

const requests = columnsOf(
  'user_id, id, conversation_id, up_to_seq int8, provider, request_model, operation, prompt_hash, created_at timestamptz',
)
const messages = columnsOf(
  'user_id, id, conversation_id, seq int8, role, content bytea, chain_hash, call_id, created_at timestamptz',
)
const responses = columnsOf(
  'user_id, request_id, status, response_model, provider_response_id, finish_reasons, input_tokens int8, output_tokens int8, cost_nanousd int8, latency_ms int8, created_at timestamptz',
)
const conversations = columnsOf('user_id, id, next_seq int8, updated_at timestamptz')
const usage = columnsOf(
  'user_id, day, model, calls int8, input_tokens int8, output_tokens int8, cost_nanousd int8',
)

type Rows = readonly (readonly Value[])[]
type Build = (rows: Rows) => PreparedCall

function statement(
  encoding: Encoding,
  name: string,
  columns: readonly Column[],
  write: (from: string, expressions: readonly string[]) => string,
): Build {
  const source = encoding.source(columns)
  const sql = write(source.from, source.expressions)
  const prepared = `${name} ${encoding.name}`
  return rows => ({ name: prepared, sql, parameters: encoding.parameters(columns, rows) })
}

/** Makes the two transactions of one batch; `next` counts calls so that every id is new. */
export function batchMaker(encoding: Encoding, users: readonly number[], prefix: string) {
  const insert = (table: string, columns: readonly Column[], tail = '') =>
    statement(
      encoding,
      table,
      columns,
      (from, expressions) =>
        `INSERT INTO ${table} (${columns.map(c => c.name).join(', ')}) SELECT ${expressions.join(', ')} FROM ${from} ${tail}`,
    )
  const insertRequests = insert('llm_requests', requests)
  const insertMessages = insert('messages', messages)
  const insertResponses = insert('llm_responses', responses)
  const upsertUsage = insert(
    'usage_daily',
    usage,
    `ON CONFLICT (user_id, day, model) DO UPDATE SET calls = usage_daily.calls + excluded.calls,
      input_tokens = usage_daily.input_tokens + excluded.input_tokens, output_tokens = usage_daily.output_tokens + excluded.output_tokens,
      cost_nanousd = usage_daily.cost_nanousd + excluded.cost_nanousd`,
  )
  const updateConversations = statement(
    encoding,
    'conversations',
    conversations,
    from => `UPDATE conversations c SET next_seq = s.next_seq, updated_at = s.updated_at FROM ${from}
      WHERE c.user_id = s.user_id AND c.id = s.id`,
  )
  const noise = randomBytes(CONTENT_BYTES + 4096)
  const content = (n: number) => noise.subarray(n % 4096, (n % 4096) + CONTENT_BYTES)
  const hash = noise.toString('hex', 0, 32)
  const id = (kind: string, n: number) => `01${kind}_${prefix}${String(n).padStart(12, '0')}`
  let next = 0

  return function batch(size: number): { begin: PreparedCall[]; settle: PreparedCall[] } {
    const now = new Date().toISOString()
    const calls = Array.from({ length: size }, () => {
      const n = next++
      const user = users[n % users.length] ?? 0
      return { n, user: `user-${user}`, conversation: `conv_${user}`, seq: 2 * n + 1 }
    })
    const message = (role: string, offset: number) =>
      calls.map(c => [
        c.user,
        id(role, c.n),
        c.conversation,
        c.seq + offset,
        role,
        content(2 * c.n + offset),
        hash,
        id('call', c.n),
        now,
      ])
    return {
      begin: [
        insertRequests(
          calls.map(c => [
            c.user,
            id('call', c.n),
            c.conversation,
            c.seq,
            'openai',
            'gpt-4.1-mini',
            'chat',
            hash,
            now,
          ]),
        ),
        insertMessages(message('user', 0)),
      ],
      settle: [
        insertResponses(
          calls.map(c => [
            c.user,
            id('call', c.n),
            'completed',
            'gpt-4.1-mini',
            id('chatcmpl', c.n),
            'stop',
            97,
            101,
            20_000,
            350,
            now,
          ]),
        ),
        insertMessages(message('assistant', 1)),
        updateConversations(calls.map(c => [c.user, c.conversation, c.seq + 2, now])),
        upsertUsage(calls.map(c => [c.user, now.slice(0, 10), 'gpt-4.1-mini', 1, 97, 101, 20_000])),
      ],
    }
  }
}
