import type { Batch } from '../db/batch.ts'
import type { Capabilities } from '../db/database.ts'
import type { SearchDocument } from '../db/search-index.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { termsOf } from '../model/search-terms.ts'
import { isSearchedRole } from '../model/searched-text.ts'
import { searchedContent } from '../store/searched-content.ts'
import type { IndexOperation, OperationResult } from './operations.ts'

/** Rows taken out of the queue at a time. Most stand for one message or two. */
const mostRows = 64

/** Milliseconds after which the rest is left for the next time. Where there is one writer, calls wait for it. */
const longestTurn = { ofOneWriter: 5, else: 100 } as const

/** Messages that are read together. */
const step = 16

type Waiting = Row<'search_queue'>

/**
 * Writes the index of messages that wait for it, and takes them out of the queue in the same transaction: whoever dies has
 * taken nothing. What goes beyond the limits stays.
 */
export async function applyIndex(
  batch: Batch,
  { userId, limit }: IndexOperation,
  { hasOneWriter }: Pick<Capabilities, 'hasOneWriter'>,
): Promise<OperationResult> {
  const longest = hasOneWriter ? longestTurn.ofOneWriter : longestTurn.else
  const started = performance.now()
  const count = Math.min(mostRows, limit)
  const claimed = await batch.search.claim(count, userId)
  let rest: readonly Waiting[] = claimed
  for (let done = 0; rest.length > 0 && done < limit; done += step) {
    if (done > 0 && performance.now() - started > longest) break
    const taken = takeFrom(rest, Math.min(step, limit - done))
    await index(batch, taken.messages)
    rest = taken.rest
  }
  await settle(batch, claimed, rest)
  const isIndexed = claimed.length < count && rest.length === 0
  return { conversationId: undefined, isRepeat: false, isIndexed }
}

/** A row of which some is left is changed, not made anew: whoever waits for it then finds it. */
async function settle(batch: Batch, claimed: readonly Waiting[], rest: readonly Waiting[]): Promise<void> {
  const done = claimed.slice(0, claimed.length - rest.length)
  await batch.remove('search_queue', ['user_id', 'id'], done)
  const begun = rest.slice(0, 1).map(({ user_id, id, from_seq }) => ({
    set: { from_seq },
    match: { user_id, id },
  }))
  await batch.update('search_queue', ['from_seq'], ['user_id', 'id'], begun)
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
  const rows = await batch
    .find('messages', key, places, columns)
    .catch(error => (places.length > 1 && isUnreadable(error) ? undefined : readable(error)))
  // One that cannot be read must not keep the others out: whoever reads it is told.
  if (rows === undefined) for (const place of places) await index(batch, [place])
  else await batch.search.put(rows.flatMap(documentOf))
}

/** Nothing, where content cannot be read or is gone. */
function readable(error: unknown): [] {
  if (isUnreadable(error)) return []
  throw error
}

function isUnreadable(error: unknown): boolean {
  return (
    error instanceof SteleError && (error.code === 'content_unreadable' || error.code === 'content_erased')
  )
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
