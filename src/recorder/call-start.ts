import { SteleError } from '../errors.ts'
import { isId, newId } from '../ids.ts'
import type { CallStart } from '../model/call.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { recordedRequest } from '../model/recorded-request.ts'
import { checkUserId } from '../store/users.ts'
import type { BeginInput } from './begin-input.ts'
import { checkCallId } from './call-ids.ts'

/** The call as it is about to be begun. @throws SteleError for a bad body, id or user */
export function callStart(input: BeginInput, hashes: ConversationHashes, instanceId: string): CallStart {
  const { body, conversationId } = input
  // What cannot be an id names no conversation; not every database could even be asked for it.
  if (conversationId !== undefined && !isId('conversation', conversationId)) {
    throw new SteleError(
      'conversation_not_found',
      { conversation: conversationId },
      { param: 'conversation' },
    )
  }
  const { model, ...recorded } = recordedRequest(body, input.operation, hashes, input.continues)
  return {
    callId: input.callId === undefined ? newId('call') : checkCallId(input.callId, 'callId'),
    userId: checkUserId(input.userId),
    apiKeyId: input.apiKeyId,
    provider: input.provider,
    requestModel: input.requestModel ?? model,
    ...recorded,
    continues: input.continues,
    response: input.response,
    documentKind: input.documentKind,
    document: input.document,
    conversationId,
    instanceId,
    claim: input.claim,
    groupId: input.groupId === undefined ? undefined : checkCallId(input.groupId, 'groupId'),
    routeMode: input.routeMode,
    sent: input.sent,
    createdAt: input.createdAt ?? Date.now(),
  }
}
