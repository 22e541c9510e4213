import { sql } from 'kysely'
import type { PreparedRequest } from '../model/prepared-request.ts'
import { absentStored, type Reading } from './contents.ts'

/** Finds completed calls by their exact prompt. Calls whose reply was not kept are no answer. */
export function recordedAnswers({ kysely }: Pick<Reading, 'kysely'>) {
  return {
    /** The id of the first completed call of this user and model with this prompt. */
    async find(
      userId: string,
      model: string,
      { messages, promptHash }: PreparedRequest,
    ): Promise<string | undefined> {
      const last = await kysely
        .selectFrom('messages as m')
        .leftJoin('messages as reply', join =>
          join
            .onRef('reply.user_id', '=', 'm.user_id')
            .onRef('reply.conversation_id', '=', 'm.conversation_id')
            .on(eb => eb('reply.seq', '=', eb('m.seq', '+', 1))),
        )
        .select(['m.call_id', 'reply.call_id as reply_call_id'])
        .where('m.user_id', '=', userId)
        .where('m.chain_hash', '=', messages.at(-1)?.chainHash ?? '')
        // A constant, not a parameter: only so can a planner tell that the index of anchors serves.
        .where('m.is_anchor', '=', sql.lit(1))
        .execute()
      const ids = [...new Set(last.flatMap(row => [row.call_id, row.reply_call_id]))].filter(
        id => id !== null,
      )
      if (ids.length === 0) return undefined
      const row = await kysely
        .selectFrom('llm_requests as q')
        .innerJoin('llm_responses as s', join =>
          join.onRef('s.user_id', '=', 'q.user_id').onRef('s.request_id', '=', 'q.id'),
        )
        .select('q.id')
        .where('q.user_id', '=', userId)
        .where('q.id', 'in', ids)
        .where('q.prompt_hash', '=', promptHash)
        .where('q.request_model', '=', model)
        .where('s.status', '=', 'completed')
        .where('s.body', '<>', absentStored())
        .orderBy('q.id')
        .executeTakeFirst()
      return row?.id
    },
  }
}
