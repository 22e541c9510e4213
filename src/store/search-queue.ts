import { sql } from 'kysely'
import type { Batch } from '../db/batch.ts'
import type { Database } from '../db/database.ts'
import type { Row } from '../db/tables.ts'
import { newId } from '../ids.ts'
import { isSearchedRole } from '../model/searched-text.ts'

type QueuedMessage = Pick<Row<'messages'>, 'user_id' | 'conversation_id' | 'seq' | 'role'>

/**
 * Notes messages for the search index, in the transaction that writes them: a row for each stretch of a conversation.
 * Nothing while search is off.
 */
export async function queueForSearch(batch: Batch, messages: readonly QueuedMessage[]): Promise<void> {
  if (!batch.search.isOn) return
  const rows: Row<'search_queue'>[] = []
  for (const { user_id, conversation_id, seq, role } of messages) {
    if (!isSearchedRole(role)) continue
    const last = rows.at(-1)
    const isNext = last?.user_id === user_id && last.conversation_id === conversation_id
    // What stands between is another's: programs' messages are looked at and left out.
    if (isNext && seq >= last.from_seq) last.to_seq = Math.max(last.to_seq, seq)
    else rows.push({ user_id, id: newId('searchQueue'), conversation_id, from_seq: seq, to_seq: seq })
  }
  await batch.insert('search_queue', rows)
}

/** Takes a conversation out of the search index, whether it is in it or still waits to be. */
export async function removeFromSearch(batch: Batch, userId: string, conversationId: string): Promise<void> {
  const key = { user_id: userId, conversation_id: conversationId }
  await batch.remove('search_queue', ['user_id', 'conversation_id'], [key])
  await batch.search.remove(userId, conversationId)
}

/** Conversations queued in one transaction. */
const page = 1_000

/**
 * Notes every conversation for the search index. Rows have ids of their conversations, so it may be repeated while some
 * still wait; what is in the index already is left as it is.
 */
export async function queueEverything(database: Database): Promise<void> {
  for (let last = { id: '', user_id: '' }; ; ) {
    const conversations = await database.kysely
      .selectFrom('conversations')
      .select(['user_id', 'id', 'next_seq', 'parent_seq'])
      .where(({ eb, refTuple, tuple }) => eb(refTuple('id', 'user_id'), '>', tuple(last.id, last.user_id)))
      .orderBy('id')
      .orderBy('user_id')
      .limit(page)
      .execute()
    const rows = conversations.map(
      ({ user_id, id, next_seq, parent_seq }): Row<'search_queue'> => ({
        user_id,
        id: id.replace(/^conv_/, 'srch_'),
        conversation_id: id,
        from_seq: (parent_seq ?? -1) + 1,
        to_seq: next_seq - 1,
      }),
    )
    await database.batch(batch =>
      batch.insertAbsent(
        'search_queue',
        rows.filter(({ from_seq, to_seq }) => from_seq <= to_seq),
      ),
    )
    if (conversations.length < page) return
    last = conversations.at(-1) ?? last
  }
}

/** Whether anything of a user waits for the search index. */
export async function waitsForSearch({ prompt }: Database, userId: string): Promise<boolean> {
  const row = await prompt
    .selectFrom('search_queue')
    .select('id')
    .where('user_id', '=', userId)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

/** Messages that wait for the search index, those included that will turn out to have no text. */
export async function waitingForSearch({ kysely }: Database): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    SELECT coalesce(sum(to_seq - from_seq + 1), 0) AS count FROM search_queue`.execute(kysely)
  return rows[0]?.count ?? 0
}
