import type { FastifyInstance, FastifyRequest } from 'fastify'
import { parseChatRequest } from '../../model/chat-request.ts'
import { chatRequest } from '../gateway-request.ts'
import { type AnsweringParts, createAnswering } from './answering.ts'
import { keyOf, namedConversation, needs, userOf } from './request-parts.ts'

/** `POST /v1/chat/completions`: intent committed, provider asked, outcome committed, reply ended; in this order. */
export async function chatCompletionsRoute(app: FastifyInstance, parts: AnsweringParts): Promise<void> {
  const answer = createAnswering(parts)
  app.post(
    '/v1/chat/completions',
    needs('calls:make'),
    async (request: FastifyRequest<{ Body: Buffer | undefined }>, reply) => {
      const apiKeyId = keyOf(request).id
      const chat = parseChatRequest(request.body ?? '', { isStrict: true })
      const targets = parts.providers.targets(chat.model)
      const userId = userOf(request, chat.user)
      const conversationId = namedConversation(request)
      return answer(request, reply, { request: chatRequest(chat), targets, userId, apiKeyId, conversationId })
    },
  )
}
