import type { Kysely } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { pagesOf } from './pages.ts'

type Conversation = Tables['conversations']

/**
 * Conversations in order of their ids, but none before the one it was forked from: whoever reads them in this order knows
 * every beginning. Ids sort by time, so that hardly ever changes the order; only where a fork was made on a machine whose
 * clock was behind, it and its own forks wait for their parent.
 */
export async function* conversationsParentsFirst(
  db: Kysely<Tables>,
  userId: string | undefined,
): AsyncGenerator<Conversation> {
  /** Forks that may not come yet, by what they wait for. */
  const waiting = new Map<string, Conversation[]>()
  const unseen = await forksOlderThanTheirParents(db)
  const next = function* (conversation: Conversation): Generator<Conversation> {
    const key = keyOf(conversation.user_id, conversation.id)
    const parent = conversation.parent_id && keyOf(conversation.user_id, conversation.parent_id)
    const mustWait = unseen.has(key)
      ? (conversation.parent_id ?? '') > conversation.id
      : unseen.has(parent ?? '')
    if (mustWait && parent !== null) {
      unseen.add(key)
      waiting.set(parent, [...(waiting.get(parent) ?? []), conversation])
      return
    }
    yield* withForks(conversation)
  }
  const withForks = function* (conversation: Conversation): Generator<Conversation> {
    const key = keyOf(conversation.user_id, conversation.id)
    yield conversation
    unseen.delete(key)
    const forks = waiting.get(key) ?? []
    waiting.delete(key)
    for (const fork of forks) yield* withForks(fork)
  }
  for await (const rows of pagesOf(db, 'conversations', { userId }))
    for (const conversation of rows) yield* next(conversation)
  // What waits for a conversation that is not there comes last.
  for (const forks of waiting.values()) yield* forks
}

async function forksOlderThanTheirParents(db: Kysely<Tables>): Promise<Set<string>> {
  const rows = await db
    .selectFrom('conversations')
    .select(['user_id', 'id'])
    .whereRef('parent_id', '>', 'id')
    .execute()
  return new Set(rows.map(row => keyOf(row.user_id, row.id)))
}

function keyOf(userId: string, id: string): string {
  return `${id} ${userId}`
}
