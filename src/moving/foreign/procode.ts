import type { ForeignDatabase, ForeignRow } from '../../db/foreign.ts'
import { conversationItems, conversationLine } from './conversation.ts'
import { type MessageDraft, rowMessage } from './message.ts'
import type { Origin, SourceItem, TableReader } from './source.ts'
import { type Key, KeyedRows, messageOrder, nextKey, notingTies, rowsOf, tableOf } from './tables.ts'
import { userLine } from './user.ts'
import { columnText, jsonOf, millisecondsOf, nanousdOf, wordOf } from './values.ts'

const known = {
  users: ['id', 'email', 'username', 'full_name', 'role', 'is_active', 'created_at', 'updated_at'],
  conversations: ['id', 'user_id', 'title', 'intent', 'status', 'created_at', 'updated_at'],
  messages: [
    'id',
    'conversation_id',
    'role',
    'content',
    'message_id',
    'intent',
    'model_used',
    'cost',
    'extra_metadata',
    'created_at',
  ],
  audit_logs: [
    'id',
    'user_id',
    'event_type',
    'event_category',
    'severity',
    'description',
    'ip_address',
    'user_agent',
    'extra_metadata',
    'created_at',
  ],
  alembic_version: ['version_num'],
}

/** An agent framework: users, conversations, messages with their costs, and an audit log. */
export const procode: TableReader = {
  format: 'procode',
  required: {
    users: ['id', 'email', 'username'],
    conversations: ['id', 'user_id'],
    messages: ['conversation_id', 'role', 'content'],
    audit_logs: ['event_type', 'description'],
  },
  known,
  read,
}

async function* read(database: ForeignDatabase, origin: Origin): AsyncGenerator<SourceItem> {
  for await (const row of rowsOf(database, 'users', known.users, [{ value: 'id' }]))
    yield {
      table: 'users',
      records: [userLine(origin, origin.numberedUser(String(row['id'])), row)],
    }
  yield* conversations(database, origin)
  for await (const row of rowsOf(database, 'audit_logs', known.audit_logs, [{ value: 'id' }]))
    yield auditItem(origin, row)
  for await (const _row of rowsOf(database, 'alembic_version', known.alembic_version, [
    { bytes: 'version_num' },
  ]))
    yield { table: 'alembic_version', records: [], skipped: "it tells the version of the source's schema" }
}

async function* conversations(database: ForeignDatabase, origin: Origin): AsyncGenerator<SourceItem> {
  const parents = new KeyedRows(rowsOf(database, 'conversations', known.conversations, [{ bytes: 'id' }]), [
    'id',
  ])
  const order = [{ bytes: 'conversation_id' }, ...messageOrder(tableOf(database, 'messages'), 'created_at')]
  const messages = new KeyedRows(rowsOf(database, 'messages', known.messages, order), ['conversation_id'])
  for (let key = await nextKey([parents, messages]); key !== undefined; ) {
    yield* conversation(database, origin, key, parents, messages)
    key = await nextKey([parents, messages])
  }
}

async function* conversation(
  database: ForeignDatabase,
  origin: Origin,
  key: Key,
  parents: KeyedRows,
  messages: KeyedRows,
): AsyncGenerator<SourceItem> {
  let parent: ForeignRow | undefined
  for await (const row of parents.take(key)) {
    if (parent === undefined && typeof row['id'] === 'string' && typeof row['user_id'] === 'string')
      parent = row
    else yield { table: 'conversations', records: [], skipped: 'it has no id of its own, or no user' }
  }
  const id = parent?.['id']
  const userId = parent?.['user_id']
  if (parent === undefined || typeof id !== 'string' || typeof userId !== 'string') {
    for await (const _row of messages.take(key))
      yield { table: 'messages', records: [], skipped: 'its conversation is missing, and with it its user' }
    return
  }
  const first = await messages.peekOf(key)
  const createdAt = millisecondsOf(parent['created_at'] ?? first?.['created_at']) ?? 0
  const updatedAt = Math.max(createdAt, millisecondsOf(parent['updated_at']) ?? 0)
  const status = wordOf(parent['status']) ?? 'active'
  const line = conversationLine({
    id: origin.id('conversation', createdAt, userId, id),
    user_id: origin.numberedUser(userId),
    session_id: id,
    title: origin.text(parent['title'], 'conversations.title'),
    intent: origin.text(parent['intent'], 'conversations.intent'),
    status,
    metadata: origin.metadata(id),
    created_at: createdAt,
    updated_at: updatedAt,
    deleted_at: status === 'deleted' ? updatedAt : null,
  })
  const rows = notingTies(origin, database, 'messages', 'created_at', messages.take(key))
  yield* conversationItems(origin, { table: 'conversations', rows: 1, line }, drafts(origin, rows))
}

async function* drafts(origin: Origin, rows: AsyncIterable<ForeignRow>): AsyncGenerator<MessageDraft> {
  for await (const row of rows) {
    const costNanousd = nanousdOf(row['cost'])
    if (costNanousd === null && row['cost'] != null)
      origin.note('messages.cost: is no amount, and counts as unknown')
    yield {
      ...rowMessage(row['role'], row['content']),
      table: 'messages',
      originalId: typeof row['id'] === 'string' ? row['id'] : null,
      createdAt: millisecondsOf(row['created_at']),
      model: wordOf(row['model_used']),
      intent: origin.text(row['intent'], 'messages.intent'),
      costNanousd,
      facts: { message_id: columnText(row['message_id']), extra: factsOf(row['extra_metadata']) },
    }
  }
}

function auditItem(origin: Origin, row: ForeignRow): SourceItem {
  const table = 'audit_logs'
  const { id, user_id, event_type, event_category, severity, description } = row
  const createdAt = millisecondsOf(row['created_at'])
  if (createdAt === undefined) return { table, records: [], skipped: 'it has no time' }
  if (typeof id !== 'string' || typeof event_type !== 'string')
    return { table, records: [], skipped: 'it has no id, or no type' }
  // What no user did, the source's own system did.
  const userId = typeof user_id === 'string' ? origin.numberedUser(user_id) : 'system'
  return {
    table,
    records: [
      {
        type: 'audit_event',
        id: origin.id('audit', createdAt, id, columnText(description)),
        user_id: userId,
        actor: userId,
        action: columnText(event_type) ?? '',
        category: columnText(event_category) ?? 'general',
        severity: columnText(severity) ?? 'info',
        target: null,
        outcome: 'recorded',
        details: origin.metadata(id, {
          description: columnText(description),
          ip_address: columnText(row['ip_address']),
          user_agent: columnText(row['user_agent']),
          extra: factsOf(row['extra_metadata']),
        }),
        created_at: createdAt,
      },
    ],
  }
}

/** JSON by its meaning, or the text that was no JSON. */
function factsOf(value: ForeignRow[string] | undefined): unknown {
  return jsonOf(value) ?? columnText(value)
}
