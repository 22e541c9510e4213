import { levelOfLabel } from '../compression/levels.ts'
import { SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import { parseChatRequest } from '../model/chat-request.ts'
import { isPlainOperation, parsePlainRequest } from '../model/plain-request.ts'
import type { Continuation } from '../model/prepared-request.ts'
import type { Target } from '../providers/registry.ts'
import type { Call } from '../store/calls.ts'
import { type AttemptParts, answerClient } from './attempts.ts'
import { CollectingClient, type Waiting } from './collecting-client.ts'
import { compressedRequest } from './compressed-request.ts'
import { chatRequest, type GatewayRequest, plainRequest } from './gateway-request.ts'
import { maskedRequest } from './masking/masked-request.ts'
import type { Masking } from './masking/masking.ts'
import { speaksResponses } from './responses/ask.ts'
import { recordedResponseRequest } from './responses/ask-again.ts'

/** A call on record that is to be made again. */
export interface ReplayedCall {
  readonly call: Call
  /** Its request, byte for byte. */
  readonly request: Uint8Array
  /** Whom to ask now. */
  readonly target: Target
  readonly masking: Masking | undefined
  /** Where its messages end; undefined of one that belongs to no conversation. */
  readonly end: Continuation | undefined
}

/**
 * Makes a call again: the same request, recorded as a further call of the group of the one that it repeats. The reply
 * stays with its call: the conversation is as it was. Returns the id of the new call, which has ended, well or not.
 * @throws SteleError call_not_repeatable; whatever keeps it from being begun
 */
export async function replayCall(
  parts: AttemptParts,
  { call, request, target, masking, end }: ReplayedCall,
  waiting: Waiting,
): Promise<string> {
  const client = new CollectingClient(waiting)
  const asked = requestOf(call, request, target)
  const { documentType: type, documentVersion: version } = call
  const compression = levelOfLabel(call.compression)
  const again: GatewayRequest = {
    ...asked,
    recording: {
      ...asked.recording,
      continues: continuationOf(asked, end),
      ...(type === undefined || version === undefined ? {} : { documentKind: { type, version } }),
    },
    forStorage: async outcome => ({
      ...outcome,
      reply: outcome.reply && { ...outcome.reply, message: undefined },
    }),
  }
  const callId = newId('call')
  const question = {
    callId,
    group: { id: call.id, routeMode: 'replay' as const },
    // As compressed as it was.
    request: compressedRequest(
      await maskedRequest(again, masking, parts.settings),
      compression?.level,
      compression?.version,
    ),
    // Asked once: what came of a retry would be compared as if it had come at once.
    targets: [{ ...target, policy: { ...target.policy, retries: 0 } }],
    userId: call.userId,
    apiKeyId: undefined,
    conversationId: undefined,
    claim: undefined,
  }
  await answerClient(parts, question, client)
  return callId
}

/**
 * What puts the call beside the one that it repeats where its own messages do not: those of a request that was passed on in
 * other words, or that begins with instructions, are not those of the conversation.
 */
function continuationOf({ body }: GatewayRequest, end: Continuation | undefined): Continuation | undefined {
  const isToldByWords = !('messages' in body) || end === undefined || body.messages.length === end.seq + 1
  return isToldByWords ? undefined : { ...end, isWhole: false }
}

function requestOf({ id, operation }: Call, text: Uint8Array, target: Target): GatewayRequest {
  // What is on record is read as it is: a member that stands there twice was sent so.
  const reading = { isStrict: false }
  if (operation === 'chat') return chatRequest(parseChatRequest(text, reading))
  if (isPlainOperation(operation)) return plainRequest(parsePlainRequest(operation, text, reading))
  if (operation === 'responses') {
    const { name } = target.provider
    if (speaksResponses(target)) return recordedResponseRequest(text)
    throw new SteleError('call_not_repeatable', { call: id, reason: `${name} does not speak Responses` })
  }
  throw new SteleError('call_not_repeatable', { call: id, reason: `its operation is ${operation}` })
}
