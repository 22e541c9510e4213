import { type Kysely, sql } from 'kysely'
import type { Batch } from '../db/batch.ts'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import { newId } from '../ids.ts'
import type { Store } from './contents.ts'
import { writeSealed } from './sealed-batch.ts'

/** A conversation to be looked at for the search index. */
export interface QueuedConversation {
  readonly userId: string
  readonly conversationId: string
  /** Again from this message on; left out, from where the index has come to. */
  readonly fromSeq?: number
}

/**
 * Notes conversations for the search index, in the transaction that writes what is to be found by nothing else: what
 * applications append by themselves, what is imported, and what calls left that were recorded late or by a process that is
 * gone. What a living process records of calls is kept in mind by it (`recorder/unindexed.ts`). Nothing while search is off.
 */
export async function queueForSearch(
  batch: Batch,
  conversations: readonly QueuedConversation[],
): Promise<void> {
  if (!batch.search.isOn) return
  const lowest = new Map<string, Row<'search_queue'>>()
  for (const { userId, conversationId, fromSeq } of conversations) {
    const key = `${conversationId} ${userId}`
    const known = lowest.get(key)
    const from_seq = Math.min(
      known?.from_seq ?? Number.POSITIVE_INFINITY,
      fromSeq ?? Number.POSITIVE_INFINITY,
    )
    lowest.set(key, {
      user_id: userId,
      id: known?.id ?? newId('searchQueue'),
      conversation_id: conversationId,
      from_seq: Number.isFinite(from_seq) ? from_seq : null,
    })
  }
  await batch.insert('search_queue', [...lowest.values()])
}

/**
 * Takes a conversation out of the search index, whether it is in it or still waits to be. Whoever puts messages of it there
 * holds its progress until it is done: then they are there to be taken out.
 */
export async function removeFromSearch(batch: Batch, userId: string, conversationId: string): Promise<void> {
  const key = { user_id: userId, conversation_id: conversationId }
  await batch.remove('search_queue', ['user_id', 'conversation_id'], [key])
  await batch.insertAbsent('search_progress', [{ ...key, next_seq: 0, key_id: '' }])
  await batch.remove('search_progress', ['user_id', 'conversation_id'], [key])
  await batch.search.remove(userId, conversationId)
}

/**
 * The same outside a batch: whoever puts messages of a conversation in the search index has read what they say before, and
 * has its progress in hand. When this returns, what it put there is there to be taken out.
 */
export async function waitForIndexers(
  tx: Kysely<Tables>,
  { userId, conversationId }: Omit<QueuedConversation, 'fromSeq'>,
): Promise<void> {
  // Also for a row that is being made: so this waits for whoever makes it.
  await sql`INSERT INTO search_progress (user_id, conversation_id, next_seq, key_id)
    VALUES (${userId}, ${conversationId}, 0, '')
    ON CONFLICT (user_id, conversation_id) DO UPDATE SET next_seq = search_progress.next_seq`.execute(tx)
}

/** How far the index has come in a conversation that is no more, and what waits of it. */
export async function forgetProgress(
  tx: Kysely<Tables>,
  { userId, conversationId }: Omit<QueuedConversation, 'fromSeq'>,
): Promise<void> {
  for (const table of ['search_queue', 'search_progress'] as const)
    await tx
      .deleteFrom(table)
      .where('user_id', '=', userId)
      .where('conversation_id', '=', conversationId)
      .execute()
}

/** Conversations of which one transaction removes what is indexed. */
const removedAtATime = 100

/** Takes everything of a user out of the search index. May be broken off and repeated. */
export async function removeUserFromSearch(database: Store, userId: string): Promise<void> {
  for (;;) {
    const { rows } = await sql<{ id: string }>`
      SELECT conversation_id AS id FROM search_progress WHERE user_id = ${userId}
      UNION SELECT conversation_id FROM search_queue WHERE user_id = ${userId}
      LIMIT ${removedAtATime}`.execute(database.kysely)
    if (rows.length === 0) return
    await writeSealed(database, { all: [] }, async batch => {
      for (const { id } of rows) await removeFromSearch(batch, userId, id)
    })
  }
}

/** Conversations queued in one transaction. */
const page = 1_000

/**
 * Notes every conversation, or a user's, for the search index, from its first message on. Rows have ids of their
 * conversations, so it may be repeated while some still wait; what is in the index already is left as it is, unless it was
 * made with another key than the one in use.
 */
export async function queueEverything(database: Database, userId?: string): Promise<void> {
  for (let last = { id: '', user_id: '' }; ; ) {
    const conversations = await database.kysely
      .selectFrom('conversations')
      .select(['user_id', 'id', 'next_seq', 'parent_seq'])
      .where(({ eb, refTuple, tuple }) => eb(refTuple('id', 'user_id'), '>', tuple(last.id, last.user_id)))
      .$if(userId !== undefined, query => query.where('user_id', '=', userId ?? ''))
      .orderBy('id')
      .orderBy('user_id')
      .limit(page)
      .execute()
    const rows = conversations
      .map(({ user_id, id, next_seq, parent_seq }) => ({
        user_id,
        id,
        next_seq,
        first: (parent_seq ?? -1) + 1,
      }))
      .filter(({ next_seq, first }) => first < next_seq)
      .map(
        ({ user_id, id, first }): Row<'search_queue'> => ({
          user_id,
          id: id.replace(/^conv_/, 'srch_'),
          conversation_id: id,
          from_seq: first,
        }),
      )
    await database.batch(batch => batch.insertAbsent('search_queue', rows))
    if (conversations.length < page) return
    last = conversations.at(-1) ?? last
  }
}

/** Calls looked at in one transaction. */
const callsPage = 500

/**
 * Notes the conversations of a process that is gone: those of its calls that it may have kept in mind, all of them made
 * from `open_since` on.
 */
export async function queueCallsOf(
  database: Store,
  { id, open_since }: Pick<Row<'instances'>, 'id' | 'open_since'>,
): Promise<void> {
  if (database.search === undefined) return
  for (let from: string | undefined; ; ) {
    const { rows } = await sql<{ id: string; user_id: string; placed: string; answered: string | null }>`
      SELECT q.id, q.user_id, q.conversation_id AS placed, s.conversation_id AS answered FROM llm_requests q
      LEFT JOIN llm_responses s ON s.request_id = q.id AND s.user_id = q.user_id
      WHERE ${from === undefined ? sql`q.id >= ${open_since}` : sql`q.id > ${from}`} AND q.instance_id = ${id}
      ORDER BY q.id LIMIT ${callsPage}`.execute(database.prompt)
    const conversations = rows.flatMap(({ user_id, placed, answered }) =>
      [...new Set([placed, answered ?? placed])]
        .filter(conversationId => conversationId !== '')
        .map(conversationId => ({ userId: user_id, conversationId })),
    )
    if (conversations.length > 0)
      await writeSealed(database, { all: [] }, batch => queueForSearch(batch, conversations))
    if (rows.length < callsPage) return
    from = rows.at(-1)?.id
  }
}

/** What of a user waits for the search index, beside what this process keeps in mind. */
export interface Waiting {
  readonly isQueued: boolean
  /** Conversations of calls that other processes have recorded. */
  readonly conversationIds: readonly string[]
}

/**
 * Whether anything of a user waits for the search index. What another process has recorded and may not have indexed are
 * messages of calls from its `open_since` on, be it alive or not.
 * @param self the process that knows by itself of its calls; undefined when it does not
 */
export async function waitsForSearch(
  { prompt }: Database,
  userId: string,
  self: string | undefined,
): Promise<Waiting> {
  const others = self === undefined ? sql`` : sql`WHERE id <> ${self}`
  // In the order of the index: rows that were there a moment ago are not gone through again and again.
  const { rows } = await sql<{ since: string | null; queued: string | null }>`
    SELECT (SELECT min(open_since) FROM instances ${others}) AS since,
      (SELECT conversation_id FROM search_queue WHERE user_id = ${userId}
        ORDER BY user_id, conversation_id LIMIT 1) AS queued`.execute(prompt)
  const [found] = rows
  const since = found?.since ?? undefined
  const conversationIds = since === undefined ? [] : await behindSince(prompt, userId, since)
  return { isQueued: found?.queued != null, conversationIds }
}

async function behindSince(db: Kysely<Tables>, userId: string, since: string): Promise<string[]> {
  const its = sql`q.user_id = ${userId} AND q.id >= ${since}`
  const { rows } = await sql<{ id: string }>`
    SELECT id FROM (
      SELECT q.conversation_id AS id FROM llm_requests q WHERE ${its}
      UNION
      SELECT (SELECT s.conversation_id FROM llm_responses s WHERE s.request_id = q.id AND s.user_id = q.user_id)
        FROM llm_requests q WHERE ${its}
    ) touched
    WHERE (SELECT c.next_seq FROM conversations c WHERE c.id = touched.id AND c.user_id = ${userId})
      > coalesce((SELECT p.next_seq FROM search_progress p
          WHERE p.user_id = ${userId} AND p.conversation_id = touched.id), 0)`.execute(db)
  return rows.map(({ id }) => id)
}

/** Messages that are queued for the search index, those included that will turn out to have no text. */
export async function waitingForSearch({ kysely }: Database): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    SELECT coalesce(sum(c.next_seq - coalesce(q.from_seq, p.next_seq, c.parent_seq + 1, 0)), 0) AS count
    FROM (SELECT user_id, conversation_id, min(from_seq) AS from_seq FROM search_queue GROUP BY user_id, conversation_id) q
    JOIN conversations c ON c.id = q.conversation_id AND c.user_id = q.user_id
    LEFT JOIN search_progress p ON p.user_id = q.user_id AND p.conversation_id = q.conversation_id`.execute(
    kysely,
  )
  return Number(rows[0]?.count ?? 0)
}
