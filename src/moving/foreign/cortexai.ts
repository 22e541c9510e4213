import type { ForeignDatabase, ForeignRow } from '../../db/foreign.ts'
import { type ConversationLine, conversationLine } from './conversation.ts'
import { type CallDraft, callDrafts, sessionlessCall } from './cortexai-calls.ts'
import { sessionItems } from './cortexai-session.ts'
import { UsageCheck } from './cortexai-usage.ts'
import type { Origin, SourceItem, TableReader } from './source.ts'
import { allOf, KeyedRows, messageOrder, nextKey, notingTies, rowsOf, tableOf } from './tables.ts'
import { userLine } from './user.ts'
import { millisecondsOf, wordOf } from './values.ts'

const known = {
  users: ['id', 'email', 'display_name', 'is_active', 'created_at'],
  api_keys: ['id', 'user_id', 'label', 'is_active', 'created_at', 'last_used_at'],
  sessions: ['id', 'user_id', 'title', 'mode', 'created_at', 'updated_at'],
  messages: ['id', 'session_id', 'user_id', 'role', 'content', 'created_at', 'is_edited', 'edited_at'],
  llm_requests: [
    'id',
    'user_id',
    'session_id',
    'request_id',
    'request_group_id',
    'route_mode',
    'provider',
    'model',
    'prompt_sha256',
    'prompt_stored',
    'prompt_text',
    'input_tokens_est',
    'api_key_id',
    'created_at',
  ],
  llm_responses: [
    'id',
    'llm_request_id',
    'text',
    'finish_reason',
    'latency_ms',
    'prompt_tokens',
    'completion_tokens',
    'total_tokens',
    'cached_input_tokens',
    'reasoning_tokens',
    'served_model',
    'estimated_cost',
    'pricing_unknown',
    'error_type',
    'error_message',
    'created_at',
  ],
  usage_daily: ['user_id', 'usage_date', 'total_requests', 'total_tokens', 'total_cost'],
  context_snapshots: [
    'id',
    'user_id',
    'session_id',
    'base_message_id',
    'context_hash',
    'context_text',
    'created_at',
  ],
  user_preferences: [
    'id',
    'user_id',
    'default_mode',
    'default_provider',
    'default_model',
    'cost_bias',
    'created_at',
    'updated_at',
  ],
}

/** A command line for several models: sessions, messages, every request and response, sums of usage. */
export const cortexai: TableReader = {
  format: 'cortexai',
  required: {
    users: ['id'],
    sessions: ['id', 'user_id'],
    messages: ['session_id', 'role', 'content'],
    llm_requests: ['id', 'user_id', 'provider', 'model'],
    llm_responses: ['llm_request_id'],
  },
  known,
  read,
}

async function* read(database: ForeignDatabase, origin: Origin): AsyncGenerator<SourceItem> {
  yield* users(database, origin)
  for await (const _row of rowsOf(database, 'api_keys', ['id'], [{ bytes: 'id' }]))
    yield {
      table: 'api_keys',
      records: [],
      skipped: 'hashes of keys are not imported: Stele makes keys of its own (stele keys create)',
    }
  const usage = new UsageCheck(origin)
  yield* sessions(database, origin, usage)
  yield* strayResponses(database)
  yield* usage.items(
    rowsOf(database, 'usage_daily', known.usage_daily, [{ bytes: 'user_id' }, { bytes: 'usage_date' }]),
  )
}

async function* users(database: ForeignDatabase, origin: Origin): AsyncGenerator<SourceItem> {
  const people = new KeyedRows(rowsOf(database, 'users', known.users, [{ bytes: 'id' }]), ['id'])
  const order = [{ bytes: 'user_id' }, { bytes: 'id' }]
  const wishes = new KeyedRows(rowsOf(database, 'user_preferences', known.user_preferences, order), [
    'user_id',
  ])
  const all = [people, wishes]
  for (let key = await nextKey(all); key !== undefined; key = await nextKey(all)) {
    const [preferences, ...others] = await allOf(wishes.take(key))
    const [user] = await allOf(people.take(key))
    const id = user?.['id']
    const isWhole = user !== undefined && typeof id === 'string'
    if (isWhole) {
      const { default_mode, default_provider, default_model, cost_bias } = preferences ?? {}
      const line = userLine(origin, id, user, { default_mode, default_provider, default_model, cost_bias })
      yield { table: 'users', also: preferences === undefined ? [] : ['user_preferences'], records: [line] }
    } else if (user !== undefined) yield { table: 'users', records: [], skipped: 'it has no id' }
    const spare = others.length + (isWhole || preferences === undefined ? 0 : 1)
    if (spare > 0)
      yield {
        table: 'user_preferences',
        rows: spare,
        records: [],
        skipped: isWhole ? 'its user has others' : 'its user is missing',
      }
  }
}

async function* sessions(
  database: ForeignDatabase,
  origin: Origin,
  usage: UsageCheck,
): AsyncGenerator<SourceItem> {
  const bySession = { bytes: 'session_id' }
  const parents = new KeyedRows(rowsOf(database, 'sessions', known.sessions, [{ bytes: 'id' }]), ['id'])
  const requestOrder = [bySession, { value: 'created_at' }, 'insertion' as const, { bytes: 'id' }]
  const requests = new KeyedRows(
    rowsOf(database, 'llm_requests', known.llm_requests, requestOrder, {
      table: 'llm_responses',
      columns: known.llm_responses,
      on: ['id', 'llm_request_id'],
    }),
    ['session_id'],
  )
  const order = [bySession, ...messageOrder(tableOf(database, 'messages'), 'created_at')]
  const messages = new KeyedRows(rowsOf(database, 'messages', known.messages, order), ['session_id'])
  const snapshotOrder = [bySession, { value: 'created_at' }, { bytes: 'id' }]
  const snapshots = new KeyedRows(
    rowsOf(database, 'context_snapshots', known.context_snapshots, snapshotOrder),
    ['session_id'],
  )
  const all = [parents, requests, messages, snapshots]
  for (let key = await nextKey(all); key !== undefined; key = await nextKey(all)) {
    const [session] = await allOf(parents.take(key))
    const calls = callDrafts(origin, requests.take(key), usage)
    const rows = notingTies(origin, database, 'messages', 'created_at', messages.take(key))
    const line = session && sessionLine(origin, session)
    if (line !== undefined) yield* sessionItems(origin, line, calls, rows, snapshots.take(key))
    else {
      if (session !== undefined) yield { table: 'sessions', records: [], skipped: 'it has no id, or no user' }
      yield* withoutSession(origin, calls, rows, snapshots.take(key))
    }
  }
}

function sessionLine(origin: Origin, row: ForeignRow): ConversationLine | undefined {
  const { id, user_id: userId } = row
  if (typeof id !== 'string' || typeof userId !== 'string') return undefined
  const createdAt = millisecondsOf(row['created_at']) ?? 0
  return conversationLine({
    id: origin.id('conversation', createdAt, id, userId),
    user_id: userId,
    session_id: id,
    title: origin.text(row['title'], 'sessions.title'),
    metadata: origin.metadata(id, { mode: wordOf(row['mode']) }),
    created_at: createdAt,
    updated_at: Math.max(createdAt, millisecondsOf(row['updated_at']) ?? 0),
  })
}

/** Calls that name no session stand alone; whatever else has none has no user either. */
async function* withoutSession(
  origin: Origin,
  calls: AsyncIterable<CallDraft | SourceItem>,
  messages: AsyncIterable<ForeignRow>,
  snapshots: AsyncIterable<ForeignRow>,
): AsyncGenerator<SourceItem> {
  for await (const call of calls) yield 'table' in call ? call : await sessionlessCall(origin, call)
  const skipped = 'its session is missing, and with it its user'
  for await (const _row of messages) yield { table: 'messages', records: [], skipped }
  for await (const _row of snapshots) yield { table: 'context_snapshots', records: [], skipped }
}

/** Responses without a request: nobody knows whose they were. */
async function* strayResponses(database: ForeignDatabase): AsyncGenerator<SourceItem> {
  const order = [{ bytes: 'llm_request_id' }]
  const join = { table: 'llm_requests', columns: ['id'], on: ['llm_request_id', 'id'] as const }
  for await (const row of rowsOf(database, 'llm_responses', ['llm_request_id'], order, join))
    if (row['llm_requests.id'] === null)
      yield { table: 'llm_responses', records: [], skipped: 'its request is missing, and with it its user' }
}
