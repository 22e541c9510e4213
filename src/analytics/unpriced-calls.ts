import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { endOfDay, startOfDay } from './measures.ts'
import { isAnyOf } from './rollups.ts'

interface Place {
  readonly user_id: string
  readonly conversation_id: string
}

const placesAtATime = 500

/**
 * How many calls of these conversations, settled on these days, have no known cost, by `placeText`. Of calls that retention has let go
 * nobody knows it any more.
 */
export async function unpricedCalls(
  db: Kysely<Tables>,
  places: readonly Place[],
  { since, until }: { readonly since: string; readonly until: string },
): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (let at = 0; at < places.length; at += placesAtATime) {
    const part = places.slice(at, at + placesAtATime)
    const forks = await db
      .selectFrom('conversations')
      .select('parent_id')
      .where(isAnyOf(['user_id', 'id'], part.map(asConversation)))
      .where('parent_id', 'is not', null)
      .execute()
    // A reply whose place was taken is in a fork, and its request in what that forks from.
    const ids = new Set([
      ...part.map(place => place.conversation_id),
      ...forks.flatMap(row => row.parent_id ?? []),
    ])
    const wanted = new Set(part.map(placeText))
    const { rows } = await sql<Place & { calls: number }>`
      SELECT q.user_id, coalesce(s.conversation_id, q.conversation_id) AS conversation_id, count(*) AS calls
      FROM llm_requests q JOIN llm_responses s ON s.request_id = q.id AND s.user_id = q.user_id
      WHERE q.conversation_id IN (${sql.join([...ids])}) AND s.cost_nanousd IS NULL
        AND s.created_at >= ${startOfDay(since)} AND s.created_at < ${endOfDay(until)}
      GROUP BY 1, 2`.execute(db)
    for (const row of rows) if (wanted.has(placeText(row))) found.set(placeText(row), Number(row.calls))
  }
  return found
}

function asConversation({ user_id, conversation_id }: Place): { user_id: string; id: string } {
  return { user_id, id: conversation_id }
}

export function placeText({ conversation_id, user_id }: Place): string {
  return `${conversation_id} ${user_id}`
}
