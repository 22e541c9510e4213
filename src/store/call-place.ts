import { keyText } from '../model/json-object.ts'
import type { Continuation } from '../model/prepared-request.ts'
import type { Reading } from './contents.ts'
import { messageStore } from './messages.ts'

/**
 * Where the messages of a recorded call end, for a further call of its group that adds none; undefined of one that
 * belongs to no conversation.
 */
export async function endOfCall(
  reading: Reading,
  userId: string,
  id: string,
): Promise<Continuation | undefined> {
  const row = await reading.kysely
    .selectFrom('llm_requests')
    .select(['conversation_id', 'up_to_seq'])
    .where('user_id', '=', keyText('userId', userId))
    .where('id', '=', keyText('id', id))
    .executeTakeFirst()
  if (row === undefined || row.conversation_id === '' || row.up_to_seq < 0) return undefined
  const { conversation_id: conversationId, up_to_seq: seq } = row
  const last = (await messageStore(reading).history(userId, conversationId, seq)).at(-1)
  if (last?.seq !== seq) return undefined
  const { chain_hash: chainHash, wire_hash: wireHash } = last
  return { conversationId, seq, chainHash, wireHash, newMessages: 0, isWhole: true }
}
