import type { Batch } from '../db/batch.ts'
import type { SearchDocument } from '../db/search-index.ts'
import type { Row } from '../db/tables.ts'
import { termsOf } from '../model/search-terms.ts'
import { isSearchedRole } from '../model/searched-text.ts'
import { searchedContent } from '../store/searched-content.ts'
import type { IndexOperation, OperationResult } from './operations.ts'

/** Rows taken out of the queue at a time. Most stand for one message or two. */
const mostRows = 64

/** Milliseconds after which what is left waits for the next time: calls may wait for the same writer. */
const longestTurn = 5

/** Messages that are read together. */
const step = 16

type Waiting = Row<'search_queue'>

/**
 * Writes the index of messages that wait for it. Rows are claimed by taking them out, in the same transaction: whoever
 * dies has claimed nothing. What the limits leave over is put back.
 */
export async function applyIndex(batch: Batch, operation: IndexOperation): Promise<OperationResult> {
  const { userId, limit } = operation
  const started = performance.now()
  const rows = Math.min(mostRows, limit)
  const claimed = await batch.search.claim(rows, userId)
  let rest: readonly Waiting[] = claimed
  for (let done = 0; rest.length > 0 && done < limit; done += step) {
    if (done > 0 && performance.now() - started > longestTurn) break
    const taken = takeFrom(rest, Math.min(step, limit - done))
    await index(batch, taken.messages)
    rest = taken.rest
  }
  await batch.insert('search_queue', rest)
  const isIndexed = claimed.length < rows && rest.length === 0
  return { conversationId: undefined, isRepeat: false, isIndexed }
}

interface Place {
  readonly user_id: string
  readonly conversation_id: string
  readonly seq: number
}

/** The first `count` messages of what waits, and what is left of it. */
function takeFrom(waiting: readonly Waiting[], count: number): { messages: Place[]; rest: Waiting[] } {
  const messages: Place[] = []
  const rest: Waiting[] = []
  for (const row of waiting) {
    const { user_id, conversation_id, from_seq, to_seq } = row
    let seq = from_seq
    for (; seq <= to_seq && messages.length < count; seq++) messages.push({ user_id, conversation_id, seq })
    if (seq <= to_seq) rest.push({ ...row, from_seq: seq })
  }
  return { messages, rest }
}

async function index(batch: Batch, places: readonly Place[]): Promise<void> {
  const key = ['conversation_id', 'user_id', 'seq'] as const
  const columns = [...key, 'role', 'content', 'created_at'] as const
  const rows = await batch.find('messages', key, places, columns)
  await batch.search.put(rows.flatMap(documentOf))
}

function documentOf(
  row: Pick<Row<'messages'>, 'user_id' | 'conversation_id' | 'seq' | 'role' | 'content' | 'created_at'>,
): SearchDocument[] {
  if (!isSearchedRole(row.role)) return []
  const terms = termsOf(row.user_id, searchedContent(row.content))
  if (terms.length === 0) return []
  return [
    {
      userId: row.user_id,
      conversationId: row.conversation_id,
      seq: row.seq,
      role: row.role,
      createdAt: row.created_at,
      terms,
    },
  ]
}
