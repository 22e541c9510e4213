import type { Batch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import type { CallStart } from '../model/call.ts'
import type { Continuation } from '../model/prepared-request.ts'
import type { Match } from './find-match.ts'
import type { Placement } from './plan-begin.ts'

/** Adds, for calls that know where they go on, that everything up to there is recorded as it was sent. */
export function continued(
  starts: readonly CallStart[],
  matches: ReadonlyMap<string, Match>,
): ReadonlyMap<string, Match> {
  const known = starts.flatMap(({ callId, continues }): [string, Match][] => {
    if (continues === undefined) return []
    const { conversationId, seq } = continues
    return [[callId, { conversationId, seq, callId: null, exactUpTo: seq }]]
  })
  return known.length === 0 ? matches : new Map([...matches, ...known])
}

/**
 * Where the new messages of a call go that knows where it goes on: onto the end of that conversation, or into a fork when
 * it has gone on meanwhile. @throws SteleError conversation_not_found, conversation_locked
 */
export function placeContinued(
  { conversationId, seq, onlyAtEnd }: Continuation,
  match: Match | undefined,
  conversation: Pick<Row<'conversations'>, 'next_seq'> | undefined,
): [Match | undefined, Placement] {
  const naming = { conversation: conversationId }
  if (conversation === undefined)
    throw new SteleError('conversation_not_found', naming, { param: 'conversation' })
  if (conversation.next_seq === seq + 1) return [match, { kind: 'append', conversationId }]
  if (onlyAtEnd === true) throw new SteleError('conversation_locked', naming, { param: 'conversation' })
  return [match, { kind: 'new', parent: { id: conversationId, seq } }]
}

/** Takes messages out of the conversations that calls go on from, in their transactions. */
export async function withdraw(batch: Batch, starts: readonly CallStart[]): Promise<void> {
  const updates = starts.flatMap(({ userId, createdAt, continues }) =>
    (continues?.withdraws ?? []).map(seq => ({
      set: { deleted_at: createdAt },
      match: { conversation_id: continues?.conversationId ?? '', user_id: userId, seq },
    })),
  )
  if (updates.length > 0)
    await batch.update('messages', ['deleted_at'], ['conversation_id', 'user_id', 'seq'], updates)
}
