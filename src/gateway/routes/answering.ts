import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ProviderRegistry, Target } from '../../providers/registry.ts'
import type { Stele } from '../../stele.ts'
import type { ClientSettings, GatewayState } from '../app.ts'
import { answerQuestion } from '../attempts.ts'
import { createCaching } from '../caching/caching.ts'
import { compressedRequest, createCompression } from '../compressed-request.ts'
import { contentAccess } from '../content-access.ts'
import type { GatewayRequest } from '../gateway-request.ts'
import { createIdempotency, idempotencyKeyOf } from '../idempotency.ts'
import { maskedRequest } from '../masking/masked-request.ts'
import { createMasking } from '../masking/masking.ts'
import { sendRecorded } from '../recorded-reply.ts'
import { keyOf } from './request-parts.ts'

export interface AnsweringParts {
  readonly stele: Stele
  readonly providers: ProviderRegistry
  readonly state: GatewayState
  readonly settings: ClientSettings
}

/** A request that was read, and who asks it of whom. */
export interface ReadRequest {
  readonly request: GatewayRequest
  readonly targets: readonly Target[]
  readonly userId: string
  readonly apiKeyId: string
  readonly conversationId: string | undefined
}

/** How a route answers what it has read: by a call, or from the record when its idempotency key says so. */
export function createAnswering(parts: AnsweringParts) {
  const { stele, state, settings } = parts
  const idempotency = createIdempotency(stele, state, settings)
  const content = contentAccess(stele)
  const maskingOf = createMasking(settings)
  const cachedFor = createCaching(parts)
  const compressionOf = createCompression(settings)
  return async (received: FastifyRequest, reply: FastifyReply, read: ReadRequest): Promise<FastifyReply> => {
    await content.mayAsk(received, read.userId, read.targets)
    const masking = maskingOf(received, keyOf(received))
    const { body } = read.request
    const level = compressionOf(received, keyOf(received), 'messages' in body ? undefined : body.operation)
    const cached = await cachedFor(received, { ...read, masking })
    const question = { callId: received.id, ...read, cached }
    return idempotency.once(
      idempotencyKeyOf(received.raw),
      question,
      reply,
      async (callId, claim) => {
        const masked =
          masking === undefined ? read.request : await maskedRequest(read.request, masking, settings)
        const request = compressedRequest(masked, level)
        return answerQuestion(parts, { ...question, request, callId, claim }, reply)
      },
      async call => {
        await content.mayRepeat(received, read.userId, call.callId)
        return sendRecorded(stele, call, { ...question, masking }, reply)
      },
    )
  }
}
