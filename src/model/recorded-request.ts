import type { CallStart } from './call.ts'
import { type ChatRequest, parseChatRequest } from './chat-request.ts'
import type { ConversationHashes } from './hashes.ts'
import { isPlainOperation, type PlainRequest, parsePlainRequest } from './plain-request.ts'
import { type Continuation, preparePlainRequest, prepareRequest } from './prepared-request.ts'

/** A request as it was sent, or already read. */
export type RequestBody = string | Uint8Array | ChatRequest | PlainRequest

/** What a request says of its call. */
export interface RecordedRequest extends Pick<CallStart, 'operation' | 'request' | 'listing'> {
  /** As the request names it. */
  readonly model: string
}

/**
 * What is recorded of a request: of a chat, or of one of the plain operations.
 * @throws SteleError those of reading it
 */
export function recordedRequest(
  body: RequestBody,
  operation: string | undefined,
  hashes: ConversationHashes,
  continues?: Continuation,
): RecordedRequest {
  const request = readRequest(body, operation)
  const { model } = request
  if (!('messages' in request))
    return { model, operation: request.operation, request: preparePlainRequest(request, hashes) }
  return {
    model,
    operation: operation ?? 'chat',
    request: prepareRequest(request, hashes, continues),
    listing: request.store === true ? { metadata: JSON.stringify(request.metadata) } : undefined,
  }
}

/** A request, read unless it is already. @throws SteleError those of reading it */
export function readRequest(body: RequestBody, operation: string | undefined): ChatRequest | PlainRequest {
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) return body
  return isPlainOperation(operation) ? parsePlainRequest(operation, body) : parseChatRequest(body)
}
