import type { FastifyReply } from 'fastify'
import { SteleError } from '../errors.ts'
import { isEventStream } from '../providers/provider.ts'
import type { Stele } from '../stele.ts'
import { callStore } from '../store/calls.ts'
import { promptly } from '../store/contents.ts'
import type { KeyedCall } from '../store/idempotency-keys.ts'
import type { KeyedRequest } from './idempotency.ts'
import { toldAgain } from './masking/masked-request.ts'
import type { Masking } from './masking/masking.ts'
import { inClientsTerms } from './store-failure.ts'
import { relayedEvents, streamHeaders } from './stream-events.ts'

/**
 * Gives the reply of a recorded call again, byte for byte as its first client got it, to a request that is byte for
 * byte the same.
 */
export async function sendRecorded(
  { database }: Pick<Stele, 'database'>,
  call: KeyedCall,
  { userId, request, masking }: KeyedRequest & { readonly masking: Masking | undefined },
  reply: FastifyReply,
): Promise<FastifyReply> {
  const reading = callStore(promptly(database)).exactResponse(userId, call.callId)
  const recorded = await inClientsTerms(database)(reading)
  if (recorded === undefined)
    throw new SteleError('content_unreadable', { reason: `call ${call.callId} has no reply` })
  reply.log.info({ callId: call.callId }, 'replayed')
  const wasStream = isEventStream(call.contentType ?? '')
  const again = { isStream: wasStream, request: request.body.text }
  const body = masking === undefined ? recorded : await toldAgain(recorded, masking, again)
  reply.header('x-stele-call-id', call.callId).header('idempotent-replayed', 'true')
  // A stream names its conversation before its reply has found its place.
  const conversationId = wasStream ? call.conversationId : call.replyConversationId
  if (conversationId !== '') reply.header('x-stele-conversation', conversationId)
  if (!request.stream) return reply.type('application/json').send(body)
  const events = wasStream
    ? relayedEvents(body, { hidesUsage: request.hidesUsage })
    : request.asEvents(JSON.parse(body.toString('utf8')), call)
  return reply.headers(streamHeaders).send(events)
}
