import type { Batch } from '../db/batch.ts'
import { type CallStart, upToSeqOf } from '../model/call.ts'
import type { Match } from './find-match.ts'
import type { Placement } from './plan-begin.ts'

/**
 * For each further attempt at a request, where the first one put its messages: by its group, not by its words. Several
 * conversations may say the same, and one that the first attempt forked for a new reply has no message of its own. An
 * attempt whose first one is not recorded, or asked something else, is left out and placed like any other call.
 */
export async function findAttempts(
  batch: Batch,
  starts: readonly CallStart[],
): Promise<Map<string, [Match, Placement]>> {
  const placed = new Map<string, [Match, Placement]>()
  const further = starts.filter(({ groupId, routeMode }) => groupId !== undefined && routeMode !== undefined)
  if (further.length === 0) return placed

  const firsts = byKey(
    await batch.find(
      'llm_requests',
      ['user_id', 'id'],
      distinct(further.map(({ userId, groupId }) => ({ user_id: userId, id: groupId ?? '' }))),
      ['user_id', 'id', 'conversation_id', 'up_to_seq'],
    ),
    row => row.id,
  )
  const conversations = byKey(
    await batch.find(
      'conversations',
      ['user_id', 'id'],
      distinct([...firsts.values()].map(row => ({ user_id: row.user_id, id: row.conversation_id }))),
      ['user_id', 'id', 'parent_id', 'parent_seq', 'deleted_at'],
    ),
    row => row.id,
  )
  const places = further.flatMap(start => {
    const first = firsts.get(keyOf(start.groupId, start.userId))
    const conversation = conversations.get(keyOf(first?.conversation_id, start.userId))
    const seq = upToSeqOf(start)
    if (first?.up_to_seq !== seq || conversation === undefined || conversation.deleted_at !== null) return []
    const isEmptyFork = conversation.parent_seq === seq
    const holder = (isEmptyFork ? conversation.parent_id : null) ?? conversation.id
    return [{ start, seq, conversationId: conversation.id, isEmptyFork, holder }]
  })
  const lasts = byKey(
    await batch.find(
      'messages',
      ['conversation_id', 'user_id', 'seq'],
      distinct(
        places.map(({ start, holder, seq }) => ({ conversation_id: holder, user_id: start.userId, seq })),
      ),
      ['user_id', 'conversation_id', 'seq', 'chain_hash', 'wire_hash', 'call_id'],
    ),
    row => `${row.seq} ${row.conversation_id}`,
  )
  for (const { start, seq, conversationId, isEmptyFork, holder } of places) {
    const recorded = lasts.get(keyOf(`${seq} ${holder}`, start.userId))
    const sent = start.request.messages.at(-1) ?? start.continues
    if (recorded === undefined || recorded.chain_hash !== sent?.chainHash) continue
    const exactUpTo = recorded.wire_hash === sent.wireHash ? seq : -1
    placed.set(start.callId, [
      { conversationId: holder, seq, callId: recorded.call_id, exactUpTo },
      { kind: 'repeat', conversationId, isEmptyFork },
    ])
  }
  return placed
}

const keyOf = (id: string | undefined, userId: string): string => `${id} ${userId}`

function byKey<T extends { user_id: string }>(rows: readonly T[], idOf: (row: T) => string): Map<string, T> {
  return new Map(rows.map(row => [keyOf(idOf(row), row.user_id), row]))
}

/** A key that is asked for twice may be answered twice. */
function distinct<T extends object>(keys: readonly T[]): T[] {
  return [...new Map(keys.map(key => [JSON.stringify(key), key])).values()]
}
