import type { Batch, Kept } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { newId } from '../ids.ts'
import type { PlacedCall } from '../model/call.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { absentContent, encodeContent } from '../privacy/content.ts'
import { newConversationRow, newMessageRow } from '../store/new-rows.ts'
import type { Settlement } from './operations.ts'

/** A reply that goes into the conversation of its call. */
export interface Placing {
  readonly call: PlacedCall
  readonly settlement: Pick<
    Settlement,
    'message' | 'messageHash' | 'canonicalMessage' | 'responseModel' | 'createdAt'
  >
}

/** Where replies go, and the rows that are to be written for it. */
interface Placed<P> {
  readonly forks: readonly Row<'conversations'>[]
  readonly messages: readonly (Row<'messages'> & Kept)[]
  /** The conversation that has a reply. */
  placeOf(placing: P): string
}

/** Raised when an assumption of the quick path does not hold; the careful path then decides. */
export class NeedsCare extends Error {}

/**
 * Takes the places right after their requests for replies, all of different conversations. Carefully there is one reply at
 * most: when another came first, it gets a fork of its own.
 * @throws NeedsCare when a place is taken and it is not to be done carefully
 */
export async function placeReplies<P extends Placing>(
  batch: Batch,
  replies: readonly P[],
  { hashes, careful }: { readonly hashes: ConversationHashes; readonly careful: boolean },
): Promise<Placed<P>> {
  const advances = replies.map(({ call, settlement }) => ({
    set: { next_seq: call.upToSeq + 2, updated_at: settlement.createdAt },
    match: { user_id: call.userId, id: call.conversationId, next_seq: call.upToSeq + 1 },
  }))
  const advanced =
    advances.length === 0
      ? 0
      : await batch.update(
          'conversations',
          ['next_seq', 'updated_at'],
          ['user_id', 'id', 'next_seq'],
          advances,
        )
  // Careful waves hold one ending, so a shortfall means that its place is taken: another reply came first.
  if (advanced !== advances.length && !careful) throw new NeedsCare()
  const forks = advanced === advances.length ? [] : replies.map(fork)
  const placeOf = ({ call }: Placing): string => forks[0]?.id ?? call.conversationId
  return { forks, messages: replies.map(reply => messageRow(reply, placeOf(reply), hashes)), placeOf }
}

function messageRow(
  { call, settlement: s }: Placing,
  conversationId: string,
  hashes: ConversationHashes,
): Row<'messages'> & Kept {
  const raw = s.message ?? ''
  // A message that is kept is never empty.
  const isKept = raw !== ''
  const row = newMessageRow({
    user_id: call.userId,
    conversation_id: conversationId,
    seq: call.upToSeq + 1,
    id: newId('message'),
    role: 'assistant',
    content: isKept ? encodeContent(raw) : absentContent(),
    model: s.responseModel ?? call.requestModel,
    is_anchor: call.anchorsReply || conversationId !== call.conversationId ? 1 : 0,
    chain_hash: s.messageHash ?? hashes.chain(call.chainHash, s.canonicalMessage ?? ''),
    wire_hash: isKept ? hashes.wire(call.wireHash, raw) : '',
    call_id: call.callId,
    created_at: s.createdAt,
  })
  return { ...row, writtenWith: call.apiKeyId }
}

function fork({ call, settlement }: Placing): Row<'conversations'> {
  return newConversationRow({
    user_id: call.userId,
    id: newId('conversation'),
    next_seq: call.upToSeq + 2,
    parent_id: call.conversationId,
    parent_seq: call.upToSeq,
    created_at: settlement.createdAt,
  })
}
