import { decodeText } from '../src/privacy/content.ts'
import type { Stele } from '../src/stele.ts'
import { markOf } from './marks.ts'
import type { Recorded } from './recorded.ts'
import type { Violation } from './verdict.ts'

/** Rows asked for at once. */
const page = 200

/**
 * A question stands once in the record, however often it was attempted; its reply once when it was completed, at most once
 * when its client left in the middle of it, and else not at all.
 */
export async function checkMessages(stele: Stele, recorded: readonly Recorded[]): Promise<Violation[]> {
  const questions = new Map<string, number>()
  const replies = new Map<string, number>()
  const marks = new Map(recorded.map(({ call, mark }) => [call.id, mark]))
  for (const { role, content, callId } of await messagesOf(stele, recorded)) {
    if (role === 'user') add(questions, markOf(content))
    // What a client told of earlier turns came with a call too.
    if (role === 'assistant' && markOf(content) === marks.get(callId)) add(replies, callId)
  }
  return [
    ...[...new Set(recorded.map(({ mark }) => mark))].flatMap((mark): Violation[] => {
      const times = questions.get(mark) ?? 0
      if (times === 1) return []
      const detail = `its question is ${times} times in the record`
      return [{ check: times === 0 ? 'missing' : 'double', about: mark, detail }]
    }),
    ...recorded.flatMap(({ call: { id, status } }): Violation[] => {
      const times = replies.get(id) ?? 0
      const least = status === 'completed' ? 1 : 0
      const most = status === 'completed' || status === 'aborted' ? 1 : 0
      if (times >= least && times <= most) return []
      const detail = `it is ${status} and its reply is ${times} times in the record`
      return [{ check: times < least ? 'missing' : 'double', about: id, detail }]
    }),
  ]
}

interface Said {
  readonly role: string
  readonly content: string
  readonly callId: string
}

/** Each message of the conversations of these calls, which are in the order of their ids, once. */
async function messagesOf({ database }: Stele, recorded: readonly Recorded[]): Promise<Said[]> {
  const first = recorded[0]?.call.id
  if (first === undefined) return []
  const { kysely, contents } = database
  const places = [
    ...(await kysely.selectFrom('llm_requests').select('conversation_id').where('id', '>=', first).execute()),
    ...(await kysely
      .selectFrom('llm_responses')
      .select('conversation_id')
      .where('request_id', '>=', first)
      .execute()),
  ]
  const ids = [...new Set(places.flatMap(({ conversation_id: id }) => id ?? []))]
  const said: Said[] = []
  for (let from = 0; from < ids.length; from += page) {
    const stored = await kysely
      .selectFrom('messages')
      .select(['user_id', 'conversation_id', 'seq', 'role', 'content', 'call_id'])
      .where('conversation_id', 'in', ids.slice(from, from + page))
      .execute()
    const rows = await contents.open(kysely, 'messages', stored)
    said.push(
      ...rows.map(row => ({
        role: row.role,
        content: decodeText(row.content),
        callId: row.call_id ?? '',
      })),
    )
  }
  return said
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
