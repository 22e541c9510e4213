import { SteleError } from '../errors.ts'
import { isId, newId } from '../ids.ts'
import type { CallStart, IdempotencyClaim, RouteMode } from '../model/call.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { type RequestBody, recordedRequest } from '../model/recorded-request.ts'
import { checkUserId } from '../store/users.ts'

/** A call about to be made. */
export interface BeginInput {
  /** Whoever the application says the user is. */
  readonly userId: string
  readonly provider: string
  /** The request as sent: chat-completions JSON (or what `operation` takes), or already read. */
  readonly body: RequestBody
  /** The model as the provider knows it; the body's own when left out. */
  readonly requestModel?: string | undefined
  /** Makes begin idempotent: the same id again returns the call already begun. */
  readonly callId?: string | undefined
  /** Refuses that instead: whoever asks a provider under the id of a call that has ended cannot record its answer. */
  readonly isNew?: boolean | undefined
  readonly apiKeyId?: string | undefined
  readonly conversationId?: string | undefined
  /** A key under which no other call may be made; see `begin`. */
  readonly claim?: IdempotencyClaim | undefined
  /**
   * 'chat' when left out. A call of 'embeddings', 'moderations' or 'completions' has such a request for its body and
   * belongs to no conversation.
   */
  readonly operation?: string | undefined
  /** The first of the calls that are made for one request: itself, or an earlier one with the same messages. */
  readonly groupId?: string | undefined
  /** Set on every further call of a group: its messages are those of the first and are not recorded again. */
  readonly routeMode?: RouteMode | undefined
  /** Milliseconds since 1970; now when left out. */
  readonly createdAt?: number | undefined
}

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
  const { model, ...recorded } = recordedRequest(body, input.operation, hashes)
  return {
    callId: input.callId === undefined ? newId('call') : checkCallId(input.callId, 'callId'),
    userId: checkUserId(input.userId),
    apiKeyId: input.apiKeyId,
    provider: input.provider,
    requestModel: input.requestModel ?? model,
    ...recorded,
    conversationId,
    instanceId,
    claim: input.claim,
    groupId: input.groupId === undefined ? undefined : checkCallId(input.groupId, 'groupId'),
    routeMode: input.routeMode,
    createdAt: input.createdAt ?? Date.now(),
  }
}

/** Ids say when a call was made; partitions and recovery rely on it. */
function checkCallId(id: string, name: string): string {
  if (!isId('call', id))
    throw new SteleError('invalid_value', {
      name,
      reason: 'it must be a TypeID with the prefix call',
    })
  return id
}
