import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { Cutoffs } from './periods.ts'
import type {
  CallFacts,
  ConversationFacts,
  ConversationRow,
  ConversationSummary,
  MessageFacts,
  Reading,
  SnapshotFacts,
} from './plan-conversation.ts'

const conversationColumns = [
  'user_id',
  'id',
  'parent_id',
  'parent_seq',
  'created_at',
  'updated_at',
  'deleted_at',
] as const

export interface Key {
  readonly user_id: string
  readonly id: string
}

/** Bytes that a column holds beside its form, so 0 for content that is not kept. Reads the length alone. */
const bytesOf = (column: string): RawBuilder<number> =>
  sql<number>`CASE WHEN octet_length(${sql.ref(column)}) > 1 THEN octet_length(${sql.ref(column)}) ELSE 0 END`

/** Null when there is no title. */
export const titleBytes = sql<number | null>`octet_length(title)`.as('title_bytes')

/** A page of conversations behind `after` that began before `before`, in order of their keys. */
export function conversationPage(
  db: Kysely<Tables>,
  { after, before, limit }: { after: Key | undefined; before: number; limit: number },
): Promise<ConversationRow[]> {
  return db
    .selectFrom('conversations')
    .select(conversationColumns)
    .select(titleBytes)
    .where('created_at', '<', before)
    .$if(after !== undefined, query => query.where(behind(after)))
    .orderBy('id')
    .orderBy('user_id')
    .limit(limit)
    .execute()
}

function behind(key: Key | undefined): RawBuilder<boolean> {
  return sql<boolean>`(id, user_id) > (${key?.id ?? ''}, ${key?.user_id ?? ''})`
}

/** What can be told of conversations in a few queries, whatever their number. */
export async function summarize(
  db: Kysely<Tables>,
  conversations: readonly ConversationRow[],
): Promise<ConversationSummary[]> {
  if (conversations.length === 0) return []
  const ids = conversations.map(({ id }) => id)
  const messages = await db
    .selectFrom('messages')
    .select(({ fn }) => [
      'conversation_id',
      'user_id',
      fn.min('created_at').as('oldest'),
      sql<number | null>`min(CASE WHEN octet_length(content) > 1 OR echo IS NOT NULL THEN created_at END)`.as(
        'oldest_kept',
      ),
    ])
    .where('conversation_id', 'in', ids)
    .groupBy(['conversation_id', 'user_id'])
    .execute()
  const snapshots = await db
    .selectFrom('context_snapshots')
    .select(({ fn }) => ['conversation_id', 'user_id', fn.min('created_at').as('oldest')])
    .where('conversation_id', 'in', ids)
    .groupBy(['conversation_id', 'user_id'])
    .execute()
  const deleted = conversations.filter(({ deleted_at }) => deleted_at !== null).map(({ id }) => id)
  const calls =
    deleted.length === 0
      ? []
      : await db
          .selectFrom('llm_requests')
          .select(['conversation_id', 'user_id'])
          .distinct()
          .where('conversation_id', 'in', deleted)
          .where(sql<boolean>`(params IS NOT NULL OR octet_length(body) > 1)`)
          .execute()
  const keyOf = (row: { conversation_id: string; user_id: string }): string =>
    `${row.conversation_id} ${row.user_id}`
  const messagesOf = new Map(messages.map(row => [keyOf(row), row]))
  const snapshotsOf = new Map(snapshots.map(row => [keyOf(row), row]))
  const callsOf = new Set(calls.map(keyOf))
  return conversations.map(conversation => {
    const key = keyOf({ conversation_id: conversation.id, user_id: conversation.user_id })
    return {
      conversation,
      oldest: messagesOf.get(key)?.oldest,
      oldestKept: messagesOf.get(key)?.oldest_kept ?? undefined,
      oldestSnapshot: snapshotsOf.get(key)?.oldest,
      hasKeptCalls: callsOf.has(key),
    }
  })
}

/**
 * All that a decision about one conversation takes. With `lock` the conversation stays as it is until commit. Undefined when
 * it is not there.
 */
export async function conversationFacts(
  db: Kysely<Tables>,
  { user_id, id }: Key,
  { cutoffs, now, lock }: { cutoffs: Cutoffs; now: number; lock: RawBuilder<unknown> },
): Promise<ConversationFacts | undefined> {
  const conversation = await db
    .selectFrom('conversations')
    .select(conversationColumns)
    .select(titleBytes)
    .where('id', '=', id)
    .where('user_id', '=', user_id)
    .modifyEnd(lock)
    .executeTakeFirst()
  if (conversation === undefined) return undefined
  const messages: MessageFacts[] = (await readings(db, { user_id, id })).map(({ wire_hash, ...message }) => ({
    ...message,
    is_exact: wire_hash !== '',
  }))
  const calls = await callsOf(db, { user_id, id })
  const snapshots: SnapshotFacts[] = await db
    .selectFrom('context_snapshots')
    .select(['id', 'created_at', bytesOf('content').as('bytes')])
    .where('conversation_id', '=', id)
    .where('user_id', '=', user_id)
    .execute()
  const forks = await forksOf(db, { user_id, id }).execute()
  const isLive = (fork: (typeof forks)[number]): boolean =>
    (fork.deleted_at === null || fork.deleted_at >= now) &&
    // One that goes itself in this run holds nothing.
    Math.max(fork.updated_at, fork.created_at) >= cutoffs.metadata
  return {
    conversation,
    messages,
    calls,
    snapshots,
    hasLiveFork: forks.some(isLive),
    isInUse: calls.some(call => !call.is_settled) || (await areInUse(db, forks)),
  }
}

/** Whether a call is under way in one of these conversations or in a fork of theirs. */
async function areInUse(db: Kysely<Tables>, conversations: readonly Key[]): Promise<boolean> {
  for (const conversation of conversations) {
    const calls = await callsOf(db, conversation)
    if (calls.some(call => !call.is_settled)) return true
    if (await areInUse(db, await forksOf(db, conversation).execute())) return true
  }
  return false
}

async function callsOf(
  db: Kysely<Tables>,
  { user_id, id }: Key,
): Promise<(CallFacts & { is_settled: boolean })[]> {
  const rows = await db
    .selectFrom('llm_requests as q')
    .leftJoin('llm_responses as s', join =>
      join.onRef('s.request_id', '=', 'q.id').onRef('s.user_id', '=', 'q.user_id'),
    )
    .select(['q.id', 'q.created_at', 's.request_id'])
    .select(callBytes.as('bytes'))
    .where('q.conversation_id', '=', id)
    .where('q.user_id', '=', user_id)
    .execute()
  return rows.map(({ request_id, ...call }) => ({ ...call, is_settled: request_id !== null }))
}

/** How the messages of a conversation are read, in order. */
export function readings(
  db: Kysely<Tables>,
  { user_id, id }: Key,
): Promise<(Reading & { created_at: number; wire_hash: string })[]> {
  return db
    .selectFrom('messages')
    .select(['seq', 'created_at', 'echo_from', 'wire_hash'])
    .select([bytesOf('content').as('content_bytes'), bytesOf('echo').as('echo_bytes')])
    .where('conversation_id', '=', id)
    .where('user_id', '=', user_id)
    .orderBy('seq')
    .execute()
}

/** The conversations that share the beginning of this one. */
export function forksOf(db: Kysely<Tables>, { user_id, id }: Key) {
  return db
    .selectFrom('conversations')
    .select(['user_id', 'id', 'parent_seq', 'created_at', 'updated_at', 'deleted_at'])
    .where('parent_id', '=', id)
    .where('user_id', '=', user_id)
}

const callBytes = sql<number>`${bytesOf('q.params')} + ${bytesOf('q.body')} + ${bytesOf('q.sent')} + ${bytesOf('s.body')}`

export interface CallRow extends Key {
  readonly created_at: number
  readonly is_settled: boolean
  readonly bytes: number
}

/** A page of calls behind `after` that were made before `before`, in order of their keys. */
export async function callPage(
  db: Kysely<Tables>,
  { after, before, limit }: { after: Key | undefined; before: number; limit: number },
): Promise<CallRow[]> {
  const rows = await db
    .selectFrom(
      db
        .selectFrom('llm_requests')
        .select(['user_id', 'id', 'created_at'])
        .select(sql<number>`${bytesOf('params')} + ${bytesOf('body')} + ${bytesOf('sent')}`.as('sent_bytes'))
        .where('created_at', '<', before)
        .$if(after !== undefined, query => query.where(behind(after)))
        .orderBy('id')
        .orderBy('user_id')
        .limit(limit)
        .as('q'),
    )
    .leftJoin('llm_responses as s', join =>
      join.onRef('s.request_id', '=', 'q.id').onRef('s.user_id', '=', 'q.user_id'),
    )
    .select(['q.user_id', 'q.id', 'q.created_at', 's.request_id'])
    .select(sql<number>`q.sent_bytes + ${bytesOf('s.body')}`.as('bytes'))
    .orderBy('q.id')
    .orderBy('q.user_id')
    .execute()
  return rows.map(({ request_id, ...call }) => ({ ...call, is_settled: request_id !== null }))
}
