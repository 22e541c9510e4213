import { randomBytes } from 'node:crypto'
import type { Row } from '../../src/db/tables.ts'
import { newId } from '../../src/ids.ts'
import { encodeContent } from '../../src/privacy/content.ts'
import { newConversationRow, newMessageRow } from '../../src/store/new-rows.ts'
import { writeSealed } from '../../src/store/sealed-batch.ts'
import type { Stele } from './stele.ts'
import { uniqueText } from './texts.ts'

const AT_ONCE = 2_000

/** A conversation of so many messages, written in bulk. Returns its id. */
export async function bulkConversation(
  stele: Stele,
  userId: string,
  texts: readonly string[],
  messages: number,
): Promise<string> {
  const now = Date.now()
  const id = newId('conversation')
  const conversation = newConversationRow({ user_id: userId, id, next_seq: messages, created_at: now })
  await writeSealed(stele.database, { all: [userId] }, batch => batch.insert('conversations', [conversation]))
  for (let from = 0; from < messages; from += AT_ONCE) {
    const rows = Array.from({ length: Math.min(AT_ONCE, messages - from) }, (_, offset) =>
      messageRow(userId, id, from + offset, uniqueText(texts, from + offset, id), now),
    )
    await writeSealed(stele.database, { all: [userId] }, batch => batch.insert('messages', rows))
  }
  return id
}

/** So many conversations of one message each, each with a session, written in bulk. */
export async function bulkConversations(
  stele: Stele,
  userId: string,
  texts: readonly string[],
  conversations: number,
): Promise<void> {
  for (let from = 0; from < conversations; from += AT_ONCE) {
    const now = Date.now()
    const rows = Array.from({ length: Math.min(AT_ONCE, conversations - from) }, (_, offset) =>
      newConversationRow({
        user_id: userId,
        id: newId('conversation'),
        session_id: `session-${from + offset}`,
        next_seq: 1,
        created_at: now,
      }),
    )
    const messages = rows.map(({ id }, offset) =>
      messageRow(userId, id, 0, uniqueText(texts, from + offset, userId), now),
    )
    await writeSealed(stele.database, { all: [userId] }, async batch => {
      await batch.insert('conversations', rows)
      await batch.insert('messages', messages)
    })
  }
}

/** As an append writes it, but for its hashes, which are as long and as random. */
function messageRow(
  userId: string,
  conversationId: string,
  seq: number,
  content: string,
  createdAt: number,
): Row<'messages'> {
  const role = seq % 2 === 0 ? 'user' : 'assistant'
  return newMessageRow({
    user_id: userId,
    conversation_id: conversationId,
    seq,
    id: newId('message'),
    role,
    content: encodeContent(JSON.stringify({ role, content })),
    chain_hash: randomBytes(16).toString('base64url'),
    is_anchor: role === 'user' ? 1 : 0,
    wire_hash: randomBytes(16).toString('base64url'),
    created_at: createdAt,
  })
}
