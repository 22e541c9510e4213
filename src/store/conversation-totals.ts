import { sql } from 'kysely'
import type { Database } from '../db/database.ts'
import { SteleError } from '../errors.ts'
import { keyText } from '../model/json-object.ts'

/** What the calls of a conversation amount to. */
export interface ConversationTotals {
  /** Those under way included. */
  readonly calls: number
  /** Calls that failed or were given up as lost. */
  readonly errors: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cacheReadInputTokens: number
  readonly reasoningOutputTokens: number
  /** Nano-US-dollars of the calls whose price is known. */
  readonly costNanousd: number
  /** Calls that ended and whose price is unknown. */
  readonly unpricedCalls: number
}

export function conversationTotals({ kysely }: Pick<Database, 'kysely'>) {
  /**
   * Sums over all calls that were made in a conversation, also when it has been deleted or purged.
   * @throws SteleError conversation_not_found
   */
  return async (userId: string, id: string): Promise<ConversationTotals> => {
    const row = await kysely
      .selectFrom('llm_requests as q')
      .leftJoin('llm_responses as s', join =>
        join.onRef('s.request_id', '=', 'q.id').onRef('s.user_id', '=', 'q.user_id'),
      )
      .select(eb => [
        eb.fn.countAll<number>().as('calls'),
        count(sql`s.status IN ('failed', 'orphaned')`).as('errors'),
        sum('s.input_tokens').as('input_tokens'),
        sum('s.output_tokens').as('output_tokens'),
        sum('s.cache_read_input_tokens').as('cache_read_input_tokens'),
        sum('s.reasoning_output_tokens').as('reasoning_output_tokens'),
        sum('s.cost_nanousd').as('cost_nanousd'),
        count(sql`s.status IS NOT NULL AND s.cost_nanousd IS NULL`).as('unpriced_calls'),
      ])
      .where('q.conversation_id', '=', keyText('id', id))
      .where('q.user_id', '=', keyText('userId', userId))
      .executeTakeFirstOrThrow()
    if (Number(row.calls) === 0) await requireConversation(userId, id)
    return {
      calls: Number(row.calls),
      errors: Number(row.errors),
      inputTokens: Number(row.input_tokens),
      outputTokens: Number(row.output_tokens),
      cacheReadInputTokens: Number(row.cache_read_input_tokens),
      reasoningOutputTokens: Number(row.reasoning_output_tokens),
      costNanousd: Number(row.cost_nanousd),
      unpricedCalls: Number(row.unpriced_calls),
    }
  }

  async function requireConversation(userId: string, id: string): Promise<void> {
    const row = await kysely
      .selectFrom('conversations')
      .select('id')
      .where('user_id', '=', userId)
      .where('id', '=', id)
      .executeTakeFirst()
    if (row === undefined)
      throw new SteleError('conversation_not_found', { conversation: id }, { param: 'conversation' })
  }
}

function sum(column: string) {
  return sql<number>`COALESCE(SUM(${sql.ref(column)}), 0)`
}

function count(condition: ReturnType<typeof sql>) {
  return sql<number>`COALESCE(SUM(CASE WHEN ${condition} THEN 1 ELSE 0 END), 0)`
}
