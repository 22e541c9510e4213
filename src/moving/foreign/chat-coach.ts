import type { ForeignDatabase, ForeignRow } from '../../db/foreign.ts'
import { conversationItems, conversationLine } from './conversation.ts'
import { type MessageDraft, rowMessage } from './message.ts'
import type { Origin, SourceItem, TableReader } from './source.ts'
import { type Key, KeyedRows, messageOrder, nextKey, notingTies, rowsOf, tableOf } from './tables.ts'
import { userLine } from './user.ts'
import { millisecondsOf } from './values.ts'

const known = {
  users: ['user_id', 'created_at', 'updated_at'],
  sessions: ['session_id', 'user_id', 'created_at', 'last_accessed'],
  messages: ['id', 'session_id', 'user_id', 'role', 'content', 'created_at'],
}

/** A chat coach: users, their sessions by names of their own, and messages. */
export const chatCoach: TableReader = {
  format: 'chat-coach',
  required: {
    sessions: ['session_id', 'user_id'],
    messages: ['session_id', 'user_id', 'role', 'content'],
  },
  known,
  read,
}

const sessionKey = ['user_id', 'session_id']
const bySession = sessionKey.map(bytes => ({ bytes }))

async function* read(database: ForeignDatabase, origin: Origin): AsyncGenerator<SourceItem> {
  for await (const row of rowsOf(database, 'users', known.users, [{ bytes: 'user_id' }])) {
    const id = row['user_id']
    yield typeof id === 'string'
      ? { table: 'users', records: [userLine(origin, id, { ...row, id })] }
      : { table: 'users', records: [], skipped: 'it has no id' }
  }
  const sessions = new KeyedRows(rowsOf(database, 'sessions', known.sessions, bySession), sessionKey)
  const order = [...bySession, ...messageOrder(tableOf(database, 'messages'), 'created_at')]
  const messages = new KeyedRows(rowsOf(database, 'messages', known.messages, order), sessionKey)
  for (let key = await nextKey([sessions, messages]); key !== undefined; ) {
    yield* sessionItems(database, origin, key, sessions, messages)
    key = await nextKey([sessions, messages])
  }
}

async function* sessionItems(
  database: ForeignDatabase,
  origin: Origin,
  key: Key,
  sessions: KeyedRows,
  messages: KeyedRows,
): AsyncGenerator<SourceItem> {
  const [userId, sessionId] = key
  let session: ForeignRow | undefined
  for await (const row of sessions.take(key)) {
    if (session !== undefined || typeof userId !== 'string' || typeof sessionId !== 'string')
      yield {
        table: 'sessions',
        records: [],
        skipped: session === undefined ? 'it names no user or no session' : 'it is there twice',
      }
    else session = row
  }
  if (typeof userId !== 'string' || typeof sessionId !== 'string') {
    for await (const _row of messages.take(key))
      yield { table: 'messages', records: [], skipped: 'it names no user or no session' }
    return
  }
  if (session === undefined) origin.note('sessions: are named by messages and have no row of their own')
  const first = await messages.peekOf(key)
  const createdAt = millisecondsOf(session?.['created_at'] ?? first?.['created_at']) ?? 0
  const line = conversationLine({
    id: origin.id('conversation', createdAt, userId, sessionId),
    user_id: userId,
    session_id: sessionId,
    metadata: origin.metadata(sessionId),
    created_at: createdAt,
    updated_at: Math.max(createdAt, millisecondsOf(session?.['last_accessed']) ?? 0),
  })
  const rows = notingTies(origin, database, 'messages', 'created_at', messages.take(key))
  yield* conversationItems(
    origin,
    { table: 'sessions', rows: session === undefined ? 0 : 1, line },
    drafts(rows),
  )
}

async function* drafts(rows: AsyncIterable<ForeignRow>): AsyncGenerator<MessageDraft> {
  for await (const row of rows)
    yield {
      ...rowMessage(row['role'], row['content']),
      table: 'messages',
      originalId: typeof row['id'] === 'string' ? row['id'] : null,
      createdAt: millisecondsOf(row['created_at']),
    }
}
