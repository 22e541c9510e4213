import { levelOfLabel } from '../compression/levels.ts'
import { SteleError } from '../errors.ts'
import { newId } from '../ids.ts'
import { parseChatRequest } from '../model/chat-request.ts'
import { isPlainOperation, parsePlainRequest } from '../model/plain-request.ts'
import type { Target } from '../providers/registry.ts'
import type { Call } from '../store/calls.ts'
import { type AttemptParts, answerClient } from './attempts.ts'
import { CollectingClient, type Waiting } from './collecting-client.ts'
import { compressedRequest } from './compressed-request.ts'
import { chatRequest, type GatewayRequest, plainRequest } from './gateway-request.ts'
import { maskedRequest } from './masking/masked-request.ts'
import type { Masking } from './masking/masking.ts'

/** A call on record that is to be made again. */
export interface ReplayedCall {
  readonly call: Call
  /** Its request, byte for byte. */
  readonly request: Uint8Array
  /** Whom to ask now. */
  readonly target: Target
  readonly masking: Masking | undefined
}

/**
 * Makes a call again: the same request, recorded as a further call of the group of the one that it repeats. The reply
 * stays with its call: the conversation is as it was. Returns the id of the new call, which has ended, well or not.
 * @throws SteleError call_not_repeatable; whatever keeps it from being begun
 */
export async function replayCall(
  parts: AttemptParts,
  { call, request, target, masking }: ReplayedCall,
  waiting: Waiting,
): Promise<string> {
  const client = new CollectingClient(waiting)
  const asked = requestOf(call, request)
  const { documentType: type, documentVersion: version } = call
  const again: GatewayRequest = {
    ...asked,
    recording: type === undefined || version === undefined ? {} : { documentKind: { type, version } },
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
      levelOfLabel(call.compression),
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

function requestOf({ id, operation }: Call, text: Uint8Array): GatewayRequest {
  // What is on record is read as it is: a member that stands there twice was sent so.
  const reading = { isStrict: false }
  if (operation === 'chat') return chatRequest(parseChatRequest(text, reading))
  if (isPlainOperation(operation)) return plainRequest(parsePlainRequest(operation, text, reading))
  throw new SteleError('call_not_repeatable', { call: id, reason: `its operation is ${operation}` })
}
