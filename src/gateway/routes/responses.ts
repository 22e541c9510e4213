import { setTimeout as pause } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { SteleError } from '../../errors.ts'
import { chatMessages } from '../../model/responses/chat-messages.ts'
import { readInput } from '../../model/responses/input-items.ts'
import { conversationOf, parseCountRequest } from '../../model/responses/request.ts'
import type { ResponseObject } from '../../model/responses/response.ts'
import { estimateTokens } from '../../model/responses/token-estimate.ts'
import { cancelResponse, deleteResponse } from '../../recorder/respond.ts'
import { contentAccess } from '../content-access.ts'
import { BackgroundResponses } from '../responses/background.ts'
import { responseCreation } from '../responses/create.ts'
import { follow } from '../responses/follow.ts'
import { historyReader } from '../responses/history.ts'
import { flag, integer, itemPage } from '../responses/paging.ts'
import { namedResponses, referenceReader } from '../responses/references.ts'
import { eventsAfter, recordedEvents } from '../responses/replay.ts'
import { type PresentResponse, responseReader } from '../responses/retrieve.ts'
import { streamHeaders } from '../stream-events.ts'
import type { AnsweringParts } from './answering.ts'
import { keyOf, needs, userOf } from './request-parts.ts'

type Received = FastifyRequest<{
  Params: { id: string }
  Querystring: Readonly<Record<string, unknown>>
  Body: Buffer | undefined
}>

/** How often is looked whether a response has ended that others make, and how long a cancellation waits, in milliseconds. */
const lookEvery = 100
const cancelTime = 10_000

/** OpenAI's Responses API, whatever its providers speak. */
export async function responsesRoutes(app: FastifyInstance, parts: AnsweringParts): Promise<void> {
  const { stele, providers, state, settings } = parts
  const background = new BackgroundResponses(stele, app.log)
  const reader = responseReader(stele)
  const historyOf = historyReader(stele)
  const references = referenceReader(stele, settings)
  const content = contentAccess(stele)
  const create = responseCreation(parts, background, reader)

  /** Waits for a response that somebody makes until it has ended, or nobody waits any more, or the time is up. */
  const ended = async (
    userId: string,
    id: string,
    reply: FastifyReply,
    deadline = Number.POSITIVE_INFINITY,
  ): Promise<PresentResponse> => {
    for (;;) {
      const present = await reader.present(userId, id)
      if (present.hasEnded || performance.now() > deadline) return present
      if (reply.raw.destroyed) throw new SteleError('client_closed_request')
      if (state.isStopping) throw new SteleError('shutting_down')
      await pause(lookEvery)
    }
  }

  app.post('/v1/responses', needs('calls:make'), create)

  app.get('/v1/responses/:id', needs('content:read'), async (request: Received, reply) => {
    const { query } = request
    const { id } = request.params
    const userId = userOf(request)
    const after = integer(query, 'starting_after', 0, Number.MAX_SAFE_INTEGER)
    const present = await reader.present(userId, id)
    if (!flag(query, 'stream')) return sendText(reply, present.text)
    const live = present.hasEnded ? undefined : background.client(id)
    if (live?.isStreaming === true) return follow(live, after, reply)
    const { stored, text } = present.hasEnded ? present : await ended(userId, id, reply)
    const response = JSON.parse(text) as ResponseObject
    const events = await recordedEvents(stele, { userId, callId: stored.callId, response })
    return reply.headers(streamHeaders).send(eventsAfter(events, after))
  })

  app.delete('/v1/responses/:id', needs('content:write'), async (request: Received, reply) => {
    const { id } = request.params
    const userId = userOf(request)
    await reader.present(userId, id)
    await deleteResponse(stele.recorder, userId, id, keyOf(request).id)
    return sendText(reply, JSON.stringify({ id, object: 'response', deleted: true }))
  })

  app.post('/v1/responses/:id/cancel', needs('content:write'), async (request: Received, reply) => {
    const { id } = request.params
    const userId = userOf(request)
    const present = await reader.present(userId, id)
    const { background: isBackground } = JSON.parse(present.text) as ResponseObject
    if (isBackground !== true)
      throw new SteleError('response_not_cancellable', {
        response: id,
        reason: 'it is not made in the background; to end it, close its connection',
      })
    if (present.hasEnded) return sendText(reply, present.text)
    await cancelResponse(stele.recorder, userId, id)
    background.cancel(id)
    return sendText(reply, (await ended(userId, id, reply, performance.now() + cancelTime)).text)
  })

  app.get('/v1/responses/:id/input_items', needs('content:read'), async (request: Received, reply) => {
    const items = await reader.input(userOf(request), request.params.id)
    return sendText(reply, JSON.stringify(itemPage(items, request.query)))
  })

  app.post('/v1/responses/input_tokens', needs('calls:make'), async (request: Received, reply) => {
    const fields = parseCountRequest(request.body ?? '')
    if (fields.model != null) providers.targets(fields.model)
    const names = {
      previousResponseId: fields.previous_response_id ?? undefined,
      conversationId: conversationOf(fields),
    }
    const userId = userOf(request)
    await content.mayContinue(request, userId, names)
    await content.mayName(request, userId, namedResponses(fields.input))
    const items = readInput(await references.input(userId, fields.input), request.id)
    const { messages } = await historyOf(userId, names)
    const said = [...messages.map(({ value }) => value), ...chatMessages(items, () => undefined)]
    const instructed = fields.instructions == null ? said : [fields.instructions, ...said]
    const input_tokens = estimateTokens(instructed, [fields.tools ?? [], fields.text?.format ?? {}])
    return sendText(reply, JSON.stringify({ object: 'response.input_tokens', input_tokens }))
  })
}

function sendText(reply: FastifyReply, text: string): FastifyReply {
  return reply.type('application/json').send(text)
}
