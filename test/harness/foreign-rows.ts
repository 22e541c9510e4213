import { createCipheriv, createHmac } from 'node:crypto'
import type { Cell, ForeignPlace, TableFormat } from './foreign.ts'

/** Rows as they occur, nasty ones among them, and what must become of them. */

type Fill = (place: ForeignPlace) => Promise<void>

const long = 'A very long text. 你好 🦜 '.repeat(2_000)
export const oddTexts = ['Hi', 'Grüße, 世界 👩🏽‍💻\u2028\n"quoted" \\back', ' ', long]

export const uuid = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`

export const fernetKey = Buffer.from('0123456789abcdef0123456789abcdef').toString('base64url')

/** Encrypts as Fernet's specification says. */
export function fernetToken(text: string, key = fernetKey): Buffer {
  const bytes = Buffer.from(key, 'base64url')
  const iv = Buffer.alloc(16, 7)
  const head = Buffer.concat([Buffer.of(0x80), Buffer.from([0, 0, 0, 0, 0x65, 0x91, 0x30, 0]), iv])
  const cipher = createCipheriv('aes-128-cbc', bytes.subarray(16), iv)
  const body = Buffer.concat([head, cipher.update(text, 'utf8'), cipher.final()])
  const tag = createHmac('sha256', bytes.subarray(0, 16)).update(body).digest()
  const token = Buffer.concat([body, tag]).toString('base64').replaceAll('+', '-').replaceAll('/', '_')
  return Buffer.from(token, 'latin1')
}

const prompt = 'system: Be brief.\nuser: Hi\nthere'

export const fills: Readonly<Record<TableFormat, Fill>> = {
  async synthlang({ insert }) {
    const row = { user_id: 'ada', model: 'gpt-4o', cache_hit: 0, prompt_tokens: 5, response_tokens: 2 }
    const at = '2024-03-01 10:00:00.5'
    await insert('interactions', [
      { ...row, prompt_enc: Buffer.from(prompt), response_enc: Buffer.from('Hello!'), timestamp: at },
      {
        ...row,
        prompt_enc: Buffer.from('\nuser: Test prompt'),
        response_enc: Buffer.from('ok'),
        cache_hit: 1,
        timestamp: at,
      },
      { ...row, prompt_enc: fernetToken('user: secret'), response_enc: fernetToken('hidden'), timestamp: at },
      { ...row, prompt_enc: Buffer.of(0xff, 0xfe), response_enc: Buffer.from('x'), timestamp: at },
      { ...row, prompt_enc: null, response_enc: null, timestamp: at },
      { ...row, user_id: null, prompt_enc: Buffer.from('x'), response_enc: null, timestamp: at },
      {
        ...row,
        prompt_enc: Buffer.from('x'),
        response_enc: null,
        prompt_tokens: null,
        response_tokens: null,
        timestamp: null,
      },
      ...oddTexts.map(text => ({
        ...row,
        prompt_enc: Buffer.from(`user: ${text}`),
        response_enc: Buffer.from(text),
        timestamp: at,
      })),
    ])
  },
  async bitesoft({ insert }) {
    const row = {
      user_id: 'dr. ☂',
      document_type: 'treatment_summary',
      input_data: '{"treatment_type": "clear aligners"}',
      generated_text: '{"title": "Your plan 🦷"}',
      model_used: 'gpt-4o',
      tokens_used: 450,
      generation_time_ms: 1250,
      status: 'success',
      created_at: '2024-05-06 07:08:09.123456',
    }
    await insert('audit_logs', [
      { ...row, id: uuid(1) },
      {
        ...row,
        id: uuid(2),
        status: 'error',
        generated_text: '{}',
        error_message: 'RateLimitError: ☹',
        tokens_used: null,
      },
      { ...row, id: uuid(3), created_at: null },
      { ...row, id: uuid(4), input_data: oddTexts[3] ?? '' },
    ])
  },
  async procode({ insert }) {
    const at = '2024-01-01 12:00:00.000001'
    const person = {
      hashed_password: '$2b$12$secret',
      is_active: 1,
      is_verified: 0,
      created_at: at,
      updated_at: at,
    }
    await insert('users', [
      {
        id: 1,
        email: 'ada@example.org',
        username: 'ada',
        full_name: 'Ada L.',
        role: 'admin',
        api_key: 'pk-secret',
        ...person,
      },
      { id: 2, email: 'bob@example.org', username: 'bob', role: 'user', ...person, is_active: 0 },
    ])
    const conversation = {
      user_id: 1,
      title: 'Support 🛟',
      intent: 'support',
      created_at: at,
      updated_at: '2024-01-02 00:00:00',
    }
    await insert('conversations', [
      { id: 'c-ten', ...conversation },
      { id: 'c-empty', ...conversation, title: null },
      { id: 'c-gone', ...conversation, status: 'deleted' },
      { id: 'c-nobody', ...conversation, user_id: null },
    ])
    const said = (
      conversation_id: string,
      role: Cell,
      content: Cell,
      more: Readonly<Record<string, Cell>> = {},
    ) => ({
      conversation_id,
      role,
      content,
      // All at once: only the numbers tell their order.
      created_at: at,
      ...more,
    })
    await insert('messages', [
      said('c-ten', 'user', 'one', { intent: 'greeting', extra_metadata: '{"a": [1]}' }),
      said('c-ten', 'assistant', 'two', { model_used: 'gpt-4', cost: 0.1 + 0.2 }),
      said('c-gone', 'user', 'between'),
      said('c-ten', 'user', 'three', { cost: null, created_at: null }),
      said('c-ten', 'agent', 'four', { cost: 1e-7 }),
      said('c-ten', 'robot', 'of no known role'),
      said('c-ten', 'user', null),
      said('c-nowhere', 'user', 'an orphan'),
      said('c-nobody', 'user', 'of nobody'),
      ...oddTexts.map(text => said('c-ten', 'user', text)),
    ])
    const event = {
      event_type: 'blocked_content',
      event_category: 'security',
      severity: 'warning',
      created_at: at,
    }
    await insert('audit_logs', [
      {
        ...event,
        user_id: 1,
        description: 'PII detected',
        extra_metadata: '{"pii_types": ["email"]}',
        ip_address: '::1',
      },
      { ...event, user_id: null, description: 'started' },
      { ...event, user_id: 2, description: 'never', created_at: null },
    ])
    await insert('alembic_version', [{ version_num: '5c6758e838d3' }])
  },
  async cortexai({ insert }) {
    const at = (second: number): string => `2024-06-01 09:00:${String(second).padStart(2, '0')}.000123+00:00`
    await insert('users', [
      { id: uuid(1), email: 'cli@cortexai.local', display_name: 'CLI', is_active: 1, created_at: at(0) },
      { id: uuid(2), email: null, display_name: null, is_active: 1, created_at: at(0) },
    ])
    await insert('api_keys', [
      { id: uuid(3), user_id: uuid(1), key_hash: 'abc', label: 'x', created_at: at(0) },
    ])
    await insert('user_preferences', [
      { id: uuid(4), user_id: uuid(1), default_mode: 'compare', default_model: 'gpt-4o', created_at: at(0) },
      { id: uuid(5), user_id: uuid(99), default_mode: 'ask', created_at: at(0) },
    ])
    await insert('sessions', [
      { id: uuid(10), user_id: uuid(1), title: 'Python', mode: 'ask', created_at: at(1), updated_at: at(9) },
      { id: uuid(11), user_id: uuid(2), title: null, mode: 'ask', created_at: at(1), updated_at: at(1) },
    ])
    // A turn is one transaction, and all its rows have the same time. Ids are random: the answer's may be the lower.
    const turn = (id: number, second: number, question: string, answer: string) => [
      { id: uuid(id + 1), session_id: uuid(10), role: 'user', content: question, created_at: at(second) },
      { id: uuid(id), session_id: uuid(10), role: 'assistant', content: answer, created_at: at(second) },
    ]
    await insert('messages', [
      ...turn(20, 1, 'What is Python?', 'A language.'),
      ...turn(22, 2, 'Compare!', 'Summary: both agree.'),
      { id: uuid(25), session_id: uuid(10), role: 'user', content: 'And now?', created_at: at(3) },
      { id: uuid(26), session_id: uuid(98), role: 'user', content: 'an orphan', created_at: at(3) },
    ])
    const request = {
      user_id: uuid(1),
      session_id: uuid(10),
      provider: 'openai',
      model: 'gpt-4o',
      prompt_sha256: 'ab'.repeat(32),
    }
    await insert('llm_requests', [
      { ...request, id: uuid(30), request_id: 'r0', created_at: at(1), api_key_id: uuid(3) },
      { ...request, id: uuid(31), request_id: 'r1', created_at: at(2), route_mode: 'compare' },
      {
        ...request,
        id: uuid(32),
        request_id: 'r2',
        created_at: at(2),
        route_mode: 'compare',
        provider: 'gemini',
        model: 'flash',
      },
      { ...request, id: uuid(33), request_id: 'r3', created_at: at(3) },
      {
        ...request,
        id: uuid(34),
        request_id: 'r4',
        session_id: null,
        created_at: at(4),
        prompt_text: 'alone',
        prompt_stored: 1,
      },
      { ...request, id: uuid(35), request_id: 'r5', user_id: uuid(2), created_at: at(5) },
      { ...request, id: uuid(36), request_id: 'r6', created_at: at(6) },
    ])
    const reply = {
      latency_ms: 812,
      prompt_tokens: 10,
      completion_tokens: 5,
      total_tokens: 15,
      estimated_cost: '0.000123',
      finish_reason: 'stop',
    }
    await insert('llm_responses', [
      { ...reply, id: uuid(40), llm_request_id: uuid(30), text: 'A language.', created_at: at(1) },
      { ...reply, id: uuid(41), llm_request_id: uuid(31), text: 'First answer.', created_at: at(2) },
      {
        ...reply,
        id: uuid(42),
        llm_request_id: uuid(32),
        text: 'Second answer.',
        estimated_cost: null,
        created_at: at(2),
      },
      {
        id: uuid(43),
        llm_request_id: uuid(33),
        text: null,
        error_type: 'timeout',
        error_message: 'took too long',
        created_at: at(3),
      },
      { ...reply, id: uuid(44), llm_request_id: uuid(34), text: 'answered', created_at: at(4) },
      { ...reply, id: uuid(45), llm_request_id: uuid(97), text: 'of no request', created_at: at(4) },
      { ...reply, id: uuid(46), llm_request_id: uuid(30), text: 'twice', created_at: at(4) },
    ])
    await insert('usage_daily', [
      {
        user_id: uuid(1),
        usage_date: '2024-06-01',
        total_requests: 5,
        total_tokens: 60,
        total_cost: '0.000369',
      },
      { user_id: uuid(2), usage_date: '2024-06-01', total_requests: 7, total_tokens: 1, total_cost: '0' },
    ])
    await insert('context_snapshots', [
      {
        id: uuid(50),
        user_id: uuid(1),
        session_id: uuid(10),
        base_message_id: uuid(20),
        context_hash: 'h',
        context_text: 'So far: Python 🐍',
        created_at: at(5),
      },
      {
        id: uuid(51),
        user_id: uuid(1),
        session_id: uuid(96),
        context_hash: 'h',
        context_text: 'lost',
        created_at: at(5),
      },
    ])
  },
  async 'chat-coach'({ insert }) {
    const at = '2024-02-03 04:05:06'
    await insert('users', [{ user_id: 'user1', created_at: at, updated_at: at }])
    await insert('sessions', [
      { session_id: 'default', user_id: 'user1', created_at: at, last_accessed: at },
      { session_id: 'default', user_id: 'Žofie 👻', created_at: at, last_accessed: at },
      { session_id: 'empty', user_id: 'user1', created_at: null, last_accessed: null },
    ])
    const said = (user_id: string, session_id: string, role: string, content: string) => ({
      user_id,
      session_id,
      role,
      content,
      created_at: at,
    })
    await insert('messages', [
      said('user1', 'default', 'system', 'You are a coach.'),
      said('user1', 'default', 'assistant', 'Welcome!'),
      said('Žofie 👻', 'default', 'user', 'Ahoj'),
      ...oddTexts.map(text => said('user1', 'default', 'user', text)),
      said('user1', 'lost', 'user', 'of a session without a row'),
      said('user1', 'default', 'narrator', 'of no known role'),
      said('\u0001', 'default', 'user', 'of a user whom no id can name'),
    ])
  },
}
