import type { SteleError } from '../errors.ts'
import type { BegunCall, ResponseEnd } from '../model/call.ts'
import type { ChatRequest } from '../model/chat-request.ts'
import { completionEvents, writtenReply } from '../model/completion-wire.ts'
import { type Reply, readChoices, readCompletion } from '../model/reply.ts'
import type { ResponseObject } from '../model/responses/response.ts'
import type { ProviderResponse } from '../providers/provider.ts'
import type { Target } from '../providers/registry.ts'
import type { BeginInput } from '../recorder/recorder.ts'

/** A request that a provider is to answer: all in which OpenAI's operations differ on their way through the gateway. */
export interface GatewayRequest {
  /** What is recorded. */
  readonly body: ChatRequest
  /** What is recorded beside it; the response only with the first call of a group. */
  readonly recording?: Pick<BeginInput, 'operation' | 'continues' | 'response'>
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
  forTarget?(target: Target): GatewayRequest
  /** Set when the client gets the reply in another form than the provider sends it. Asked for once a call is begun. */
  render?(call: BegunCall): Rendition
  /** Told once when no call has answered and no other will be made. */
  givenUp?(error: SteleError): Promise<void>
}

/** A provider's reply as it is read, and put in the form that its client asked for. One for each call. */
export interface Rendition {
  /** Takes an event of the provider's stream; returns what its client gets for it, '' for nothing. */
  add(event: Readonly<Record<string, unknown>>): string
  /** Takes a reply that came whole; undefined when it is not what was asked for. */
  addWhole(value: unknown): Reply | undefined
  /** Whether an event tells of an error. */
  isError(event: Readonly<Record<string, unknown>>): boolean
  /** True once the last event has come. */
  readonly isEnded: boolean
  /** True once the reply is whole. */
  readonly isFinished: boolean
  /** What came so far. */
  reply(): Reply
  /** What is recorded of how it ended; undefined when nothing is. @param error why it ended before its time */
  end(error?: SteleError): ResponseEnd | undefined
  /** What the client gets last in a stream, once that is on record. @param recorded as it is on record, when not by `end` */
  ending(recorded?: ResponseObject): string
  /** All that a client gets who asked for no stream. */
  whole(): string
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
      return Buffer.from(completionEvents(written, chat.includeUsage).join(''))
    },
  }
}
