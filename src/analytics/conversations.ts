import type { Kysely } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { isMeant, sumOf, type UsageFilter } from './report.ts'
import { isAnyOf, sumConversations } from './rollups.ts'
import { readTail } from './tail.ts'
import { placeText, unpricedCalls } from './unpriced-calls.ts'

/** By what conversations are put in order, with the column that tells it. */
export const conversationOrders = { cost: 'cost_nanousd', tokens: 'tokens', calls: 'calls' } as const

export type ConversationOrder = keyof typeof conversationOrders

/** Calls settled on these days (YYYY-MM-DD, UTC, both included). */
export interface ConversationQuery {
  readonly since: string
  readonly until: string
  /** Only this user's. */
  readonly user: string | undefined
  readonly order: ConversationOrder
  readonly limit: number
}

/** What the calls of a conversation came to. */
export interface ConversationUsage {
  readonly conversationId: string
  readonly userId: string
  readonly calls: number
  /** Input and output. */
  readonly tokens: number
  /** Nano-US-dollars of the calls whose price is known. */
  readonly costNanousd: number
  /** Those whose price is not known, which the cost leaves out; without calls that retention has let go. */
  readonly unpricedCalls: number
}

type Sums = Omit<Row<'usage_conversations'>, 'day'>

/** The conversations that took most, exact at the moment of `db`, a snapshot. */
export async function topConversations(
  db: Kysely<Tables>,
  query: ConversationQuery,
): Promise<ConversationUsage[]> {
  const { user, order, limit } = query
  const fresh = await freshSums(db, query)
  const column = conversationOrders[order]
  // Whoever is not among so many can only come to be among the first by calls that are not summed up yet.
  const rows = await sumsFrom(db, query)
    .orderBy(column, 'desc')
    .orderBy('conversation_id')
    .orderBy('user_id')
    .limit(limit + fresh.size)
    .execute()
  const sums = new Map(rows.map(row => [placeText(row), { ...row }]))
  const missing = [...fresh.values()].filter(row => !sums.has(placeText(row)))
  for (let at = 0; at < missing.length; at += keysAtATime) {
    const keys = missing.slice(at, at + keysAtATime)
    const more = await sumsFrom(db, query)
      .where(isAnyOf(['user_id', 'conversation_id'], keys))
      .execute()
    for (const row of more) sums.set(placeText(row), { ...row })
  }
  for (const [key, { user_id, conversation_id, calls, tokens, cost_nanousd }] of fresh) {
    const known = sums.get(key) ?? { user_id, conversation_id, calls: 0, tokens: 0, cost_nanousd: 0 }
    known.calls += calls
    known.tokens += tokens
    known.cost_nanousd += cost_nanousd
    sums.set(key, known)
  }
  const shown = [...sums.values()]
    .filter(row => row.calls !== 0 && (user === undefined || row.user_id === user))
    .sort((a, b) => b[column] - a[column] || (placeText(a) < placeText(b) ? -1 : 1))
    .slice(0, limit)
  const unpriced = await unpricedCalls(db, shown, query)
  return shown.map(row => ({
    conversationId: row.conversation_id,
    userId: row.user_id,
    calls: row.calls,
    tokens: row.tokens,
    costNanousd: row.cost_nanousd,
    unpricedCalls: unpriced.get(placeText(row)) ?? 0,
  }))
}

const keysAtATime = 500

function sumsFrom(db: Kysely<Tables>, { since, until, user }: ConversationQuery) {
  return db
    .selectFrom('usage_conversations')
    .select(['user_id', 'conversation_id'])
    .select([sumOf('calls'), sumOf('tokens'), sumOf('cost_nanousd')])
    .where('day', '>=', since)
    .where('day', '<=', until)
    .$if(user !== undefined, query => query.where('user_id', '=', user ?? ''))
    .groupBy(['user_id', 'conversation_id'])
}

/** Of the calls that are not summed up yet. */
async function freshSums(
  db: Kysely<Tables>,
  { since, until, user }: ConversationQuery,
): Promise<Map<string, Sums>> {
  const filter: UsageFilter = { since, until, only: {} }
  const sums = new Map<string, Sums>()
  for await (const calls of readTail(db, user))
    for (const row of sumConversations(calls.filter(call => isMeant(call, filter)))) {
      const key = placeText(row)
      const known = sums.get(key)
      sums.set(key, {
        user_id: row.user_id,
        conversation_id: row.conversation_id,
        calls: row.calls + (known?.calls ?? 0),
        tokens: row.tokens + (known?.tokens ?? 0),
        cost_nanousd: row.cost_nanousd + (known?.cost_nanousd ?? 0),
      })
    }
  return sums
}
