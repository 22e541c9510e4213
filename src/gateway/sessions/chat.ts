import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CompressionLevel } from '../../compression/levels.ts'
import { SteleError } from '../../errors.ts'
import { conversationLibrary } from '../../library/conversations.ts'
import type { IdempotencyClaim } from '../../model/call.ts'
import type { Target } from '../../providers/registry.ts'
import { callStore } from '../../store/calls.ts'
import { promptly } from '../../store/contents.ts'
import type { Conversation } from '../../store/conversations.ts'
import type { KeyedCall } from '../../store/idempotency-keys.ts'
import { answerQuestion } from '../attempts.ts'
import { createCaching } from '../caching/caching.ts'
import { compressedRequest, createCompression } from '../compressed-request.ts'
import { contentAccess } from '../content-access.ts'
import { createIdempotency, idempotencyKeyOf } from '../idempotency.ts'
import { maskedRequest, toldAgain } from '../masking/masked-request.ts'
import { createMasking, type Masking } from '../masking/masking.ts'
import { historyReader } from '../responses/history.ts'
import type { AnsweringParts } from '../routes/answering.ts'
import { keyOf } from '../routes/request-parts.ts'
import { inClientsTerms } from '../store-failure.ts'
import { takingTurns } from './taking-turns.ts'
import { type Turn, turnReply, turnRequest } from './turn-request.ts'

/** A turn that was read, and by whose key. */
interface Asked {
  readonly received: FastifyRequest
  readonly turn: Turn
  readonly apiKeyId: string
  readonly model: string
  readonly masking: Masking | undefined
  readonly level: CompressionLevel | undefined
  readonly targets: readonly Target[]
}

/**
 * Takes turns of chats whose history is kept here: what is said goes to the end of the session's conversation, and its
 * reply right behind it. Turns of one session are taken one after another; one that another process is about to take is
 * in the way (`conversation_locked`), and so nothing of either is lost.
 */
export function sessionChat(parts: AnsweringParts) {
  const { stele, providers, state, settings } = parts
  const { database, recorder } = stele
  const prompt = promptly(database)
  const idempotency = createIdempotency(stele, state, settings)
  const conversations = conversationLibrary(prompt, recorder)
  const calls = callStore(prompt)
  const content = contentAccess(stele)
  const historyOf = historyReader(stele)
  const inTurn = takingTurns()
  const maskingOf = createMasking(settings)
  const cachedFor = createCaching(parts)
  const compressionOf = createCompression(settings)

  const told = inClientsTerms(database)

  /** @throws SteleError model_not_found when none is configured */
  const chatModel = (): string => {
    const model = settings.chatModel ?? (providers.isEchoOnly ? 'echo' : undefined)
    if (model === undefined)
      throw new SteleError('model_not_found', {
        model: '',
        hint: 'Name the one for chats in STELE_CHAT_MODEL.',
      })
    return model
  }

  /** The conversation of a session, which begins with what is said to every model, and to every user. */
  const conversationOf = async ({ userId, sessionId }: Turn): Promise<Conversation> => {
    const known = await told(conversations.bySession(userId, sessionId))
    if (known !== undefined) return known
    const { chatSystem, chatGreeting } = settings
    const messages = [
      ...(chatSystem === undefined ? [] : [{ message: { role: 'system', content: chatSystem } }]),
      ...(chatGreeting === undefined ? [] : [{ message: { role: 'assistant', content: chatGreeting } }]),
    ]
    try {
      return await conversations.create({ userId, sessionId, messages })
    } catch (error) {
      // Another process may have been first.
      const made = await told(conversations.bySession(userId, sessionId))
      if (made === undefined) throw error
      return made
    }
  }

  const take = async (
    { received, turn, apiKeyId, model, targets, masking, level }: Asked,
    callId: string,
    claim: IdempotencyClaim | undefined,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    if (reply.raw.destroyed) throw new SteleError('client_closed_request')
    if (state.isStopping) throw new SteleError('shutting_down')
    const { userId } = turn
    const { id: conversationId } = await conversationOf(turn)
    const names = { conversationId, previousResponseId: undefined }
    await content.mayContinue(received, userId, names)
    const history = await historyOf(userId, names)
    const masked = await maskedRequest(turnRequest(model, turn, history), masking, {
      replyLimit: settings.replyLimit,
      history: history.messages,
    })
    const request = compressedRequest(masked, level)
    const cached = await cachedFor(received, { request, userId, masking })
    const question = { callId, request, targets, userId, apiKeyId, conversationId: undefined, claim, cached }
    return answerQuestion(parts, question, reply)
  }

  /** Gives the recorded reply to a turn again. */
  const repeat = async (
    { received, turn, masking }: Asked,
    call: KeyedCall,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    await content.mayRepeat(received, turn.userId, call.callId)
    const recorded = await told(calls.exactResponse(turn.userId, call.callId))
    if (recorded === undefined)
      throw new SteleError('content_unreadable', { reason: `call ${call.callId} has no reply` })
    const body = masking === undefined ? recorded : await toldAgain(recorded, masking, { isStream: false })
    reply.log.info({ callId: call.callId }, 'replayed')
    return reply
      .header('x-stele-call-id', call.callId)
      .header('x-stele-conversation', call.replyConversationId)
      .header('idempotent-replayed', 'true')
      .type('application/json')
      .send(turnReply(turn, JSON.parse(body.toString('utf8'))))
  }

  return async (received: FastifyRequest, turn: Turn, apiKeyId: string, reply: FastifyReply) => {
    const model = chatModel()
    const masking = maskingOf(received, keyOf(received))
    const level = compressionOf(received, keyOf(received))
    const asked: Asked = {
      received,
      turn,
      apiKeyId,
      model,
      masking,
      level,
      targets: providers.targets(model),
    }
    await content.mayAsk(received, turn.userId, asked.targets)
    const { userId, sessionId, text } = turn
    const keyed = {
      callId: received.id,
      userId,
      request: { body: { text: `chat ${JSON.stringify([sessionId, text])}` } },
      conversationId: undefined,
    }
    return idempotency.once(
      idempotencyKeyOf(received.raw),
      keyed,
      reply,
      (callId, claim) => inTurn(JSON.stringify([userId, sessionId]), () => take(asked, callId, claim, reply)),
      call => repeat(asked, call, reply),
    )
  }
}
