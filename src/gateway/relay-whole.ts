import { isUtf8 } from 'node:buffer'
import type { FastifyReply } from 'fastify'
import { SteleError } from '../errors.ts'
import type { ChatRequest } from '../model/chat-request.ts'
import { completionEvents, writtenReply } from '../model/completion-wire.ts'
import { isFields, type Reply, readChoices, readCompletion } from '../model/reply.ts'
import type { ProviderResponse } from '../providers/provider.ts'
import { limited } from './limited-body.ts'
import type { LiveCall } from './live-call.ts'
import { streamHeaders } from './stream-events.ts'

/**
 * Relays a reply that comes in one piece: read to its end, settled, then sent.
 * @param replyLimit bytes of the provider's reply
 */
export async function relayWhole(
  call: LiveCall,
  response: ProviderResponse,
  reply: FastifyReply,
  chat: ChatRequest,
  { replyLimit }: { replyLimit: number },
): Promise<FastifyReply> {
  const { status, contentType, headers } = response
  const http = { httpStatus: status, contentType }
  const chunks: Uint8Array[] = []
  try {
    for await (const chunk of limited(call, response.body, replyLimit)) chunks.push(chunk)
  } catch (error) {
    const partial = chunks.length === 0 ? undefined : Buffer.concat(chunks)
    throw await call.settleFailure(error, { ...http, body: partial, reply: noReply })
  }
  const [only] = chunks
  const bytes = chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks)
  const text = isUtf8(bytes)
    ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
    : undefined
  const value = parse(text)
  const body = text ?? bytes

  if (status >= 400) return relayError(call, response, reply, body, value)
  const read = status < 300 ? readCompletion(value) : undefined
  if (read === undefined) {
    const reason =
      isFields(value) && isFields(value['error'])
        ? 'an error with a status of success'
        : 'it is not a chat completion'
    const error = new SteleError('provider_invalid_response', { provider: call.provider, reason })
    throw await call.settleFailure(error, { ...http, body, reply: noReply })
  }
  const { conversationId } = await call.settle({ status: 'completed', ...http, body, reply: read })
  reply.headers(headers).header('x-stele-conversation', conversationId)
  return chat.stream
    ? reply.headers(streamHeaders).send(wholeAsEvents(value, chat, call.begun))
    : reply.type('application/json').send(bytes)
}

/** A provider's refusal, passed on as it is when it is in OpenAI's shape. */
async function relayError(
  call: LiveCall,
  { status, contentType, headers }: ProviderResponse,
  reply: FastifyReply,
  body: string | Uint8Array,
  value: unknown,
): Promise<FastifyReply> {
  const { provider } = call
  const isAuth = status === 401 || status === 403
  const error = isAuth
    ? new SteleError('provider_auth_failed', { provider, status })
    : new SteleError('provider_error', { provider, status })
  // The provider's own words may quote the prompt: they are kept as content, not as an error message.
  await call.settle({
    status: 'failed',
    httpStatus: status,
    contentType,
    body,
    reply: noReply,
    errorCode: error.code,
    errorMessage: error.message,
  })
  if (isAuth) {
    // It is Stele's key that was refused; a 401 would make the client doubt its own.
    reply.header('x-should-retry', 'false')
    throw error
  }
  reply.headers(headers)
  // Not every number that a provider sends is a status that HTTP knows.
  reply.code(status < 600 ? status : error.status)
  const isOpenAiShaped =
    isFields(value) && isFields(value['error']) && typeof value['error']['message'] === 'string'
  if (isOpenAiShaped) return reply.type('application/json').send(body)
  return reply.send({
    error: { message: error.message, type: 'provider_error', param: null, code: error.code },
  })
}

const noReply: Reply = { finishReasons: [], usage: {} }

/** A whole reply as events, for a client that asked for a stream and a provider that does not stream. */
export function wholeAsEvents(
  value: unknown,
  chat: ChatRequest,
  call: { readonly callId: string; readonly createdAt: number },
): Buffer {
  const written = writtenReply(readCompletion(value) ?? noReply, readChoices(value), chat.model, call)
  return Buffer.from(completionEvents(written, chat.includeUsage).join(''))
}

function parse(text: string | undefined): unknown {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
