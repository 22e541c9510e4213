import { isUtf8 } from 'node:buffer'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { SteleError } from '../../errors.ts'
import { isId } from '../../ids.ts'
import type { IdempotencyClaim } from '../../model/call.ts'
import { parseChatRequest } from '../../model/chat-request.ts'
import { isEventStream } from '../../providers/provider.ts'
import type { ProviderRegistry } from '../../providers/registry.ts'
import type { Stele } from '../../stele.ts'
import { actingUser } from '../access.ts'
import type { ClientSettings, GatewayState } from '../app.ts'
import { createIdempotency, idempotencyKeyOf } from '../idempotency.ts'
import { LiveCall } from '../live-call.ts'
import { sendRecorded } from '../recorded-reply.ts'
import { relayStream } from '../relay-stream.ts'
import { relayWhole } from '../relay-whole.ts'

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
  const { replyLimit } = settings
  const idempotency = createIdempotency(stele, state, settings)
  app.post('/v1/chat/completions', async (request: FastifyRequest<{ Body: Buffer | undefined }>, reply) => {
    const { apiKey } = request
    if (apiKey === undefined) throw new SteleError('missing_api_key')
    const chat = parseChatRequest(request.body ?? '')
    const { provider, model } = providers.route(chat.model)
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
    const answer = async (claim: IdempotencyClaim | undefined): Promise<FastifyReply> => {
      const begun = await stele.recorder.begin({
        callId: request.id,
        userId,
        apiKeyId: apiKey.id,
        provider: provider.name,
        requestModel: model,
        body: chat,
        conversationId,
        claim,
      })
      reply.header('x-stele-conversation', begun.conversationId)

      const call = new LiveCall(stele.recorder, begun, provider.name, request.log)
      const stopWatching = abortWhenClientLeaves(reply, call)
      state.underWay.add(call.abort)
      try {
        const response = await call.dispatch(() =>
          provider.chat({ userId, model, request: chat, signal: call.abort.signal }),
        )
        const isStream = response.status < 400 && isEventStream(response.contentType)
        return isStream && chat.stream
          ? await relayStream(call, response, reply, { hidesUsage: !chat.includeUsage, replyLimit })
          : await relayWhole(call, response, reply, chat, { replyLimit })
      } finally {
        state.underWay.delete(call.abort)
        state.events.emit('ended')
        stopWatching()
      }
    }
    const keyed = { userId, chat, conversationId }
    return idempotency.once(idempotencyKeyOf(request.raw), keyed, reply.raw, answer, call =>
      sendRecorded(stele, call, keyed, reply),
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

function abortWhenClientLeaves(reply: FastifyReply, call: LiveCall): () => void {
  const onClose = (): void => {
    const { writableFinished, errored } = reply.raw
    if (!writableFinished) call.clientLeft(errored instanceof SteleError ? errored : undefined)
  }
  // It may have left while the call was being begun.
  if (reply.raw.destroyed) onClose()
  reply.raw.on('close', onClose)
  return () => reply.raw.off('close', onClose)
}
