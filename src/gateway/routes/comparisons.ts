import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { SteleError } from '../../errors.ts'
import { parseComparison } from '../../model/comparison-request.ts'
import { checked, readObject } from '../../model/json-body.ts'
import { choose } from '../comparison/choose.ts'
import { type Asked, compareModels } from '../comparison/compare.ts'
import { compressedRequest, createCompression } from '../compressed-request.ts'
import { contentAccess } from '../content-access.ts'
import { chatRequest } from '../gateway-request.ts'
import { idempotencyKeyOf } from '../idempotency.ts'
import { maskedRequest } from '../masking/masked-request.ts'
import { createMasking } from '../masking/masking.ts'
import { inClientsTerms } from '../store-failure.ts'
import type { AnsweringParts } from './answering.ts'
import { keyOf, namedConversation, needs, userOf } from './request-parts.ts'

const choiceBody = z.looseObject({
  call_id: z.string().nullable(),
  message: z.looseObject({ role: z.literal('assistant') }).optional(),
  user: z.string().optional(),
})

interface Received {
  Params: { id: string }
  Body: Buffer | undefined
}

/**
 * `POST /v1/comparisons` asks several models the same at once; `POST /v1/comparisons/:id/choice` takes one of the replies, or
 * none, into the conversation. Nothing but the record leads from the one to the other.
 */
export async function comparisonRoutes(app: FastifyInstance, parts: AnsweringParts): Promise<void> {
  const { stele, providers, settings } = parts
  const content = contentAccess(stele)
  const maskingOf = createMasking(settings)
  const compressionOf = createCompression(settings)

  app.post('/v1/comparisons', needs('calls:make'), async (received: FastifyRequest<Received>, reply) => {
    // A second comparison under the key of the first would be one that nobody asked for.
    if (idempotencyKeyOf(received.raw) !== undefined)
      throw new SteleError(
        'invalid_value',
        { name: 'Idempotency-Key', reason: 'a comparison cannot be repeated under a key' },
        { param: 'idempotency-key' },
      )
    const requests = parseComparison(received.body ?? '')
    const [{ user, stream }] = requests
    const userId = userOf(received, user)
    const conversationId = namedConversation(received)
    const targets = requests.map(({ model }) => providers.targets(model))
    await content.mayAsk(received, userId, targets.flat())
    const key = keyOf(received)
    const level = compressionOf(received, key)
    const asked: Asked[] = []
    for (const [index, each] of requests.entries()) {
      const [target] = targets[index] ?? []
      if (target === undefined) throw new SteleError('model_not_found', { model: each.model, hint: '' })
      // What one model says is numbered apart from what the others say.
      const masked = await maskedRequest(chatRequest(each), maskingOf(received, key), settings)
      const request = compressedRequest(masked, level)
      asked.push({ model: each.model, request: (await request.forTarget?.(target)) ?? request, target })
    }
    return compareModels(
      parts,
      { callId: received.id, asked, userId, apiKeyId: key.id, conversationId, stream },
      reply,
    )
  })

  app.post(
    '/v1/comparisons/:id/choice',
    needs('calls:make'),
    async (received: FastifyRequest<Received>, reply) => {
      const { call_id: callId, message, user } = checked(choiceBody, readObject(received.body ?? ''))
      const { id } = received.params
      const chosen = choose(stele, {
        userId: userOf(received, user),
        groupId: id,
        callId: callId ?? undefined,
        message,
        actor: keyOf(received).id,
      })
      const { conversationId } = await inClientsTerms(stele.database)(chosen)
      reply.header('x-stele-conversation', conversationId)
      return { object: 'comparison.choice', id, call_id: callId, conversation_id: conversationId }
    },
  )
}
