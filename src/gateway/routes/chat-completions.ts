import { isUtf8 } from 'node:buffer'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { SteleError } from '../../errors.ts'
import { isId } from '../../ids.ts'
import { parseChatRequest } from '../../model/chat-request.ts'
import type { ProviderRegistry } from '../../providers/registry.ts'
import type { Stele } from '../../stele.ts'
import { actingUser } from '../access.ts'
import type { ClientSettings, GatewayState } from '../app.ts'
import { answerQuestion } from '../attempts.ts'
import { createIdempotency, idempotencyKeyOf } from '../idempotency.ts'
import { sendRecorded } from '../recorded-reply.ts'

interface Parts {
  readonly stele: Stele
  readonly providers: ProviderRegistry
  readonly state: GatewayState
  readonly settings: ClientSettings
}

/** `POST /v1/chat/completions`: intent committed, provider asked, outcome committed, reply ended; in this order. */
export async function chatCompletionsRoute(
  app: FastifyInstance,
  { stele, providers, state, settings }: Parts,
): Promise<void> {
  const idempotency = createIdempotency(stele, state, settings)
  app.post('/v1/chat/completions', async (request: FastifyRequest<{ Body: Buffer | undefined }>, reply) => {
    const { apiKey } = request
    if (apiKey === undefined) throw new SteleError('missing_api_key')
    const chat = parseChatRequest(request.body ?? '')
    const targets = providers.targets(chat.model)
    const userId = actingUser(apiKey, asText(header(request, 'x-stele-user')), chat.user)
    const conversationId = header(request, 'x-stele-conversation')
    if (conversationId !== undefined && !isId('conversation', conversationId)) {
      throw new SteleError(
        'conversation_not_found',
        { conversation: conversationId },
        { param: 'x-stele-conversation' },
      )
    }

    stele.recorder.touchKey(apiKey.id)
    const question = { callId: request.id, chat, targets, userId, apiKeyId: apiKey.id, conversationId }
    return idempotency.once(
      idempotencyKeyOf(request.raw),
      question,
      reply,
      (callId, claim) =>
        answerQuestion({ stele, providers, state, settings }, { ...question, callId, claim }, reply),
      call => sendRecorded(stele, call, question, reply),
    )
  })
}

function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Node reads headers as Latin-1; clients that can write more than that write UTF-8. */
function asText(value: string | undefined): string | undefined {
  const bytes = Buffer.from(value ?? '', 'latin1')
  return value !== undefined && isUtf8(bytes) ? bytes.toString('utf8') : value
}
