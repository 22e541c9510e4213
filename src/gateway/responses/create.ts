import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CompressionLevel } from '../../compression/levels.ts'
import { SteleError } from '../../errors.ts'
import { responseIdOf } from '../../ids.ts'
import type { IdempotencyClaim } from '../../model/call.ts'
import { wantsLogprobs } from '../../model/responses/chat-body.ts'
import { readInput } from '../../model/responses/input-items.ts'
import { parseResponseRequest, type ResponseRequest } from '../../model/responses/request.ts'
import { type ResponseObject, responseInProgress } from '../../model/responses/response.ts'
import type { Target } from '../../providers/registry.ts'
import { callStore } from '../../store/calls.ts'
import { promptly } from '../../store/contents.ts'
import type { KeyedCall } from '../../store/idempotency-keys.ts'
import { answerClient, answerQuestion, type CachedAnswers, type Question } from '../attempts.ts'
import { createCaching } from '../caching/caching.ts'
import { compressedRequest, createCompression } from '../compressed-request.ts'
import { contentAccess } from '../content-access.ts'
import type { GatewayRequest } from '../gateway-request.ts'
import { createIdempotency, idempotencyKeyOf } from '../idempotency.ts'
import { maskedRequest, toldAgain } from '../masking/masked-request.ts'
import { createMasking, type Masking } from '../masking/masking.ts'
import type { AnsweringParts } from '../routes/answering.ts'
import { keyOf, userOf } from '../routes/request-parts.ts'
import { inClientsTerms } from '../store-failure.ts'
import { streamHeaders } from '../stream-events.ts'
import { responseRequest, responseTargets } from './ask.ts'
import type { BackgroundResponses } from './background.ts'
import { follow } from './follow.ts'
import { historyReader } from './history.ts'
import { namedResponses, referenceReader } from './references.ts'
import { recordedEvents } from './replay.ts'
import type { ResponseReader } from './retrieve.ts'

/** A request that was read, and who asks it of whom. */
interface Asked {
  readonly request: ResponseRequest
  readonly targets: readonly Target[]
  readonly userId: string
  readonly apiKeyId: string
  readonly masking: Masking | undefined
  readonly cached: CachedAnswers | undefined
  readonly level: CompressionLevel | undefined
}

/** `POST /v1/responses`. */
export function responseCreation(
  parts: AnsweringParts,
  background: BackgroundResponses,
  reader: ResponseReader,
) {
  const { stele, providers, state, settings } = parts
  const { recorder, database } = stele
  const idempotency = createIdempotency(stele, state, settings)
  const historyOf = historyReader(stele)
  const references = referenceReader(stele, settings)
  const maskingOf = createMasking(settings)
  const cachedFor = createCaching(parts)
  const compressionOf = createCompression(settings)
  const calls = callStore(promptly(database))
  const content = contentAccess(stele)

  /** Makes a response. Its id is that of its first call in another guise: the same request never has two. */
  const make = async (
    { request: given, targets, userId, apiKeyId, masking, level, cached }: Asked,
    callId: string,
    claim: IdempotencyClaim | undefined,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const id = responseIdOf(callId)
    const request = await references.spelledOut(userId, given)
    const items = readInput(request.fields.input, id)
    const history = await historyOf(userId, request)
    const begun = responseInProgress(id, request, Date.now())
    const kept = masking?.policy.inStorage === true ? (text: string) => masking.masker.json(text) : undefined
    const ask = { userId, request, begun, items, history, kept }
    const able = responseTargets(ask, targets)
    const question: Question = {
      callId,
      request: compressedRequest(
        await maskedRequest(responseRequest(ask, recorder), masking, {
          replyLimit: settings.replyLimit,
          history: history.messages,
        }),
        level,
      ),
      targets: able,
      userId,
      apiKeyId,
      conversationId: undefined,
      claim,
      cached,
    }
    reply.header('x-stele-call-id', callId)
    if (!request.background) return answerQuestion(parts, question, reply)
    const client = await background.start(id, (client, onBegun) =>
      answerClient(parts, { ...question, request: whenBegun(question.request, onBegun) }, client),
    )
    if (request.stream) return follow(client, undefined, reply)
    return reply.type('application/json').send(JSON.stringify(begun))
  }

  /** Gives the reply of a recorded response again, byte for byte as its first client got it. */
  const repeat = async (
    { request, userId, masking }: Asked,
    call: KeyedCall,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    if (!request.store) throw new SteleError('content_not_kept')
    const facts = await inClientsTerms(database)(calls.get(userId, call.callId))
    const id = responseIdOf(facts?.groupId ?? call.callId)
    const { stored, hasEnded, text } = await reader.present(userId, id)
    reply.log.info({ callId: call.callId }, 'replayed')
    reply
      .header('x-stele-call-id', call.callId)
      .header('x-stele-conversation', stored.conversationId)
      .header('idempotent-replayed', 'true')
    const again = async (bytes: Buffer, isStream: boolean): Promise<Buffer> =>
      masking === undefined ? bytes : toldAgain(bytes, masking, { isStream })
    if (!request.stream) return reply.type('application/json').send(await again(Buffer.from(text), false))
    const live = hasEnded ? undefined : background.client(id)
    if (live !== undefined) return follow(live, undefined, reply)
    const response = JSON.parse(text) as ResponseObject
    const begun = { ...responseInProgress(id, request, 0), created_at: response.created_at }
    const showsLogprobs = wantsLogprobs(request.fields)
    const events = await recordedEvents(stele, {
      userId,
      callId: stored.callId,
      response,
      begun,
      showsLogprobs,
    })
    return reply.headers(streamHeaders).send(await again(events, true))
  }

  return async (
    received: FastifyRequest<{ Body: Buffer | undefined }>,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const key = keyOf(received)
    const request = parseResponseRequest(received.body ?? '')
    const targets = providers.targets(request.fields.model)
    const userId = userOf(received, request.fields.user ?? undefined)
    const masking = maskingOf(received, key)
    const level = compressionOf(received, key)
    const { background: isBackground, store } = request
    // Whoever asks for a response in the background is told of it once it is begun.
    const cached = isBackground || !store ? undefined : await cachedFor(received, { userId, masking })
    const asked: Asked = { request, targets, userId, apiKeyId: key.id, masking, level, cached }
    await content.mayAsk(received, userId, targets)
    await content.mayContinue(received, userId, request)
    await content.mayName(received, userId, namedResponses(request.fields.input))
    return idempotency.once(
      idempotencyKeyOf(received.raw),
      {
        callId: received.id,
        userId,
        request: { body: { text: request.text, operation: 'responses' } },
        conversationId: undefined,
      },
      reply,
      (callId, claim) => make(asked, callId, claim, reply),
      async call => {
        await content.mayRepeat(received, userId, call.callId)
        return repeat(asked, call, reply)
      },
      { evenUnderWay: request.background },
    )
  }
}

/** The same request, saying when its first call is on record. */
function whenBegun(request: GatewayRequest, onBegun: () => void): GatewayRequest {
  return {
    ...request,
    async forTarget(target) {
      const asked = (await request.forTarget?.(target)) ?? request
      return {
        ...asked,
        render() {
          onBegun()
          const rendition = asked.render?.()
          if (rendition === undefined) throw new Error('a response is rendered for its client')
          return rendition
        },
      }
    },
  }
}
