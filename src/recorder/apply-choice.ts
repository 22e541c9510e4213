import type { Batch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { choiceIdOf } from '../ids.ts'
import type { PlacedCall } from '../model/call.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { eventRow } from '../store/audit-events.ts'
import { queueForSearch } from '../store/search-queue.ts'
import { findTips } from './find-tips.ts'
import type { ChooseOperation, ChosenReply, OperationResult } from './operations.ts'
import { placeReplies } from './place-replies.ts'

/** Replies that a conversation may have: the others are kept with their calls alone. */
const takable: ReadonlySet<string> = new Set(['completed', 'aborted', 'cached'])

/**
 * Takes a reply of a comparison, or none. Two that choose at once meet in the primary key of the event that tells the choice:
 * the later one waits for the earlier to commit and then finds that event. The same choice again changes nothing.
 * @throws SteleError comparison_not_found, comparison_under_way, comparison_settled, call_not_found, invalid_value,
 * missing_required_parameter, conversation_not_found, content_unreadable
 */
export async function applyChoice(
  batch: Batch,
  operation: ChooseOperation,
  hashes: ConversationHashes,
): Promise<OperationResult> {
  const { userId, groupId, chosen, createdAt } = operation
  const { request, replies } = await findComparison(batch, operation)
  const isTold = await announce(batch, operation)
  // One that was settled with its choice has no event of it.
  const taken = replies.find(({ seq }) => seq !== null)
  if (isTold || taken !== undefined) {
    if (taken?.request_id !== chosen?.callId)
      throw new SteleError('comparison_settled', {
        comparison: groupId,
        choice: taken === undefined ? 'none was taken' : `the reply of ${taken.request_id} was taken`,
      })
    return { conversationId: taken?.conversation_id ?? request.conversation_id, isRepeat: true }
  }
  if (chosen === undefined) return { conversationId: request.conversation_id, isRepeat: false }

  const reply = replies.find(({ request_id }) => request_id === chosen.callId)
  if (reply === undefined)
    throw new SteleError('call_not_found', { call: chosen.callId }, { param: 'call_id' })
  const call = await placedCall(batch, userId, chosen, request)
  const { message, canonical } = chosen
  if (message === undefined || !takable.has(reply.status))
    throw new SteleError(
      'invalid_value',
      { name: 'call_id', reason: 'this call has no reply that could be taken' },
      { param: 'call_id' },
    )
  if (canonical === undefined)
    throw new SteleError('missing_required_parameter', { name: 'message' }, { param: 'message' })
  const settlement = {
    message,
    canonicalMessage: canonical,
    responseModel: reply.response_model ?? undefined,
    createdAt,
  }
  const placing = { call, settlement }
  const { forks, messages, placeOf } = await placeReplies(batch, [placing], { hashes, careful: true })
  const conversationId = placeOf(placing)
  await batch.insert('conversations', forks)
  await batch.insert('messages', messages)
  await batch.stored.permit('choice')
  await batch.update(
    'llm_responses',
    ['conversation_id', 'seq'],
    ['request_id', 'user_id'],
    [
      {
        set: { conversation_id: conversationId, seq: call.upToSeq + 1 },
        match: { request_id: chosen.callId, user_id: userId },
      },
    ],
  )
  await queueForSearch(batch, [{ userId, conversationId }])
  return { conversationId, isRepeat: false }
}

interface Comparison {
  /** Of its first call: all have the same messages. */
  readonly request: Pick<Row<'llm_requests'>, 'conversation_id' | 'up_to_seq'>
  readonly replies: readonly Pick<
    Row<'llm_responses'>,
    'request_id' | 'status' | 'conversation_id' | 'seq' | 'response_model'
  >[]
}

async function findComparison(batch: Batch, { userId, groupId }: ChooseOperation): Promise<Comparison> {
  const calls = await batch.find(
    'llm_requests',
    ['group_id', 'user_id'],
    [{ group_id: groupId, user_id: userId }],
    ['id', 'route_mode', 'conversation_id', 'up_to_seq'],
    { where: 'route_mode IS NOT NULL' },
  )
  const [request] = calls
  if (request?.route_mode !== 'compare') throw new SteleError('comparison_not_found', { comparison: groupId })
  const replies = await batch.find(
    'llm_responses',
    ['user_id', 'request_id'],
    calls.map(({ id }) => ({ user_id: userId, request_id: id })),
    ['request_id', 'status', 'conversation_id', 'seq', 'response_model'],
    { lock: true },
  )
  if (replies.length < calls.length) throw new SteleError('comparison_under_way', { comparison: groupId })
  return { request, replies }
}

/** Writes the event that tells the choice. True when there is one. */
async function announce(
  batch: Batch,
  { userId, groupId, actor, chosen, createdAt }: ChooseOperation,
): Promise<boolean> {
  const id = choiceIdOf(groupId)
  const known = await batch.find('audit_events', ['id', 'user_id'], [{ id, user_id: userId }], ['id'])
  if (known.length > 0) return true
  const target = chosen?.callId ?? groupId
  const outcome = chosen === undefined ? 'none' : 'taken'
  const event = eventRow({ userId, by: actor, action: 'comparison.settled', target, outcome }, createdAt, id)
  await batch.insert('audit_events', [event])
  return false
}

/** The call whose reply is taken, as it stood when it was begun. */
async function placedCall(
  batch: Batch,
  userId: string,
  { callId, apiKeyId, createdAt }: ChosenReply,
  { conversation_id: conversationId, up_to_seq: upToSeq }: Comparison['request'],
): Promise<PlacedCall> {
  const [request] = await batch.find(
    'llm_requests',
    ['id', 'user_id'],
    [{ id: callId, user_id: userId }],
    ['provider', 'request_model', 'operation', 'messages_at'],
  )
  const [conversation] = await batch.find(
    'conversations',
    ['user_id', 'id'],
    [{ user_id: userId, id: conversationId }],
    ['parent_id', 'parent_seq', 'deleted_at'],
    { lock: true },
  )
  if (request === undefined || conversation === undefined || conversation.deleted_at !== null)
    throw new SteleError('conversation_not_found', { conversation: conversationId })
  const { parent_id: parentId, parent_seq: parentSeq } = conversation
  const place = { userId, id: conversationId, parentId, parentSeq, nextSeq: upToSeq + 1 }
  const tip = (await findTips(batch, [place])).get(place)
  if (tip === undefined)
    throw new SteleError('content_unreadable', {
      reason: `message ${upToSeq} of the conversation ${conversationId} is missing`,
    })
  return {
    callId,
    userId,
    apiKeyId,
    provider: request.provider,
    requestModel: request.request_model,
    operation: request.operation,
    conversationId,
    upToSeq,
    chainHash: tip.chainHash,
    // A request that is kept whole need not be spelled as the stored history is.
    wireHash: request.messages_at === null ? '' : tip.wireHash,
    // A fork from the request's own end has no message of its own before the reply.
    anchorsReply: parentSeq === upToSeq,
    keepsContent: true,
    createdAt,
  }
}
