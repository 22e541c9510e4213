import { SteleError } from '../errors.ts'
import type { Outcome } from '../model/call.ts'
import type { ChatRequest } from '../model/chat-request.ts'
import { completionEvents, withOwnFacts, writtenReply } from '../model/completion-wire.ts'
import { readPlainReply } from '../model/plain-reply.ts'
import { type PlainRequest, plainUpstreamBody } from '../model/plain-request.ts'
import { type Reply, readChoices, readCompletion } from '../model/reply.ts'
import type { ProviderResponse } from '../providers/provider.ts'
import type { Target } from '../providers/registry.ts'
import type { BeginInput } from '../recorder/begin-input.ts'
import type { Rendition } from './rendition.ts'
import { done } from './stream-events.ts'

/** A request that a provider is to answer: all in which OpenAI's operations differ on their way through the gateway. */
export interface GatewayRequest {
  /** What is recorded. */
  readonly body: ChatRequest | PlainRequest
  /** What is recorded beside it; the response, or the document, only with the first call of a group. */
  readonly recording?: Pick<
    BeginInput,
    'operation' | 'continues' | 'response' | 'documentKind' | 'document' | 'sent' | 'sentText'
  >
  /** The client wants a stream. */
  readonly stream: boolean
  /** A stream's event that tells the usage was asked for by Stele, not by the client. */
  readonly hidesUsage: boolean
  /** What a usable reply is called. */
  readonly replyKind: string
  send(target: Target, userId: string, signal: AbortSignal): Promise<ProviderResponse>
  /** Reads a reply that came whole; undefined when it is not what was asked for. */
  readReply(value: unknown): Reply | undefined
  /** A whole reply as events, for a client that asked for a stream and a provider that does not stream. */
  asEvents(value: unknown, call: { readonly callId: string; readonly createdAt: number }): Buffer
  /** The request as it is put to this target, where that is not the same for all. */
  forTarget?(target: Target): GatewayRequest | Promise<GatewayRequest>
  /**
   * The text that its provider is told, where that may not be the body's, and whether what the body does not say of it may be
   * kept. @throws SteleError masking_unavailable
   */
  told?(): Promise<{ readonly text: string; readonly mayKeep: boolean }>
  /** Set when the client gets the reply in another form than the provider sends it. Asked for once a call is begun. */
  render?(): Rendition
  /** Makes of how a call ended what is kept of it, where that is another text. @throws SteleError masking_unavailable */
  forStorage?(outcome: Outcome): Promise<Outcome>
  /** Told once when no call has answered and no other will be made. @param said what the provider said, as JSON */
  givenUp?(error: SteleError, said?: unknown): Promise<void>
}

export function chatRequest(chat: ChatRequest): GatewayRequest {
  return {
    body: chat,
    stream: chat.stream,
    hidesUsage: !chat.includeUsage,
    replyKind: 'a chat completion',
    send: ({ provider, model }, userId, signal) => provider.chat({ userId, model, request: chat, signal }),
    readReply: readCompletion,
    asEvents(value, call) {
      const read = readCompletion(value) ?? { finishReasons: [], usage: {} }
      const written = writtenReply(read, readChoices(value), chat.model, call)
      return Buffer.from(completionEvents(withOwnFacts(written, value), chat.includeUsage).join(''))
    },
  }
}

const replyKinds = {
  embeddings: 'a list of embeddings',
  moderations: 'the result of a moderation',
  completions: 'a completion',
} as const

/** A request that is passed on as it came. */
export function plainRequest(request: PlainRequest): GatewayRequest {
  const { operation, stream } = request
  return {
    body: request,
    stream,
    hidesUsage: false,
    replyKind: replyKinds[operation],
    async send({ provider, model }, userId, signal) {
      const body = plainUpstreamBody(request, model)
      const response = await provider.forward?.({ operation, userId, body, signal })
      if (response === undefined) throw new SteleError('operation_not_served', { operation, model })
      return response
    },
    readReply: value => readPlainReply(operation, value),
    // Here the events of a stream look like the whole.
    asEvents: value => Buffer.concat([Buffer.from(`data: ${JSON.stringify(value)}\n\n`), done]),
  }
}
