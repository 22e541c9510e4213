import { isUtf8 } from 'node:buffer'
import { SteleError } from '../errors.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { isFields, type Reply } from '../model/reply.ts'
import type { ProviderResponse } from '../providers/provider.ts'
import type { AttemptFailure, ProviderAnswer } from './attempt-failure.ts'
import type { Client } from './client.ts'
import type { GatewayRequest } from './gateway-request.ts'
import type { LiveCall } from './live-call.ts'
import { sizeLimit } from './size-limit.ts'

/** Relays a reply that comes in one piece: read to its end, settled, then sent. Sends nothing of a failure. */
export async function relayWhole(
  call: LiveCall,
  response: ProviderResponse,
  client: Client,
  request: GatewayRequest,
  { replyLimit }: { replyLimit: number },
): Promise<AttemptFailure | undefined> {
  const { status, contentType, headers } = response
  const http = { httpStatus: status, contentType }
  const chunks: Uint8Array[] = []
  try {
    const within = sizeLimit(call, replyLimit)
    await response.body.forEach(chunk => void chunks.push(within(chunk)))
  } catch (error) {
    const partial = chunks.length === 0 ? undefined : Buffer.concat(chunks)
    return call.fail(error, { ...http, body: partial, reply: noReply })
  }
  const [only] = chunks
  const bytes = chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks)
  const text = isUtf8(bytes)
    ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
    : undefined
  const value = text === undefined ? undefined : maybeJson(text)
  // Bytes are compressed where that pays: numbers by the thousand are what a chat does not hold.
  const body = 'messages' in request.body ? (text ?? bytes) : bytes

  const { rendition } = call
  const readReply = rendition === undefined ? request.readReply : rendition.addWhole.bind(rendition)
  const read = status < 300 ? readReply(value) : undefined
  if (read === undefined) {
    // The provider's own words may quote the prompt: they are kept as content, not as an error message.
    const answer = { status, headers, body, value }
    return call.fail(
      errorOf(call.provider, answer, request.replyKind),
      { ...http, body, reply: noReply },
      { answer },
    )
  }
  const { conversationId } = await call.complete({ ...http, body, reply: read })
  if (conversationId !== undefined) client.header('x-stele-conversation', conversationId)
  if (!request.stream) {
    client.sendWhole(rendition?.whole() ?? bytes, headers)
    return undefined
  }
  // For a client that asked for a stream and a provider that does not stream.
  client.startStream(headers)
  client.endStream(rendition?.ending() ?? request.asEvents(value, call.begun))
  return undefined
}

/** What an answer that is no reply amounts to. */
export function errorOf(provider: string, { status, value }: ProviderAnswer, replyKind: string): SteleError {
  if (status === 401 || status === 403) return new SteleError('provider_auth_failed', { provider, status })
  if (status >= 400) return new SteleError('provider_error', { provider, status })
  const reason =
    isFields(value) && isFields(value['error'])
      ? 'an error with a status of success'
      : `it is not ${replyKind}`
  return new SteleError('provider_invalid_response', { provider, reason })
}

const noReply: Reply = { finishReasons: [], usage: {} }
