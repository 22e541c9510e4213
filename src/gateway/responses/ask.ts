import { SteleError } from '../../errors.ts'
import type { ResponseStart } from '../../model/call.ts'
import type { ChatMessage, ChatRequest } from '../../model/chat-request.ts'
import { readCompletion } from '../../model/reply.ts'
import {
  chatMessage,
  chatParameters,
  wantsLogprobs,
  writeChatRequest,
} from '../../model/responses/chat-body.ts'
import { chatMessages, type Refuse } from '../../model/responses/chat-messages.ts'
import type { Item } from '../../model/responses/input-items.ts'
import { readResponse } from '../../model/responses/reply.ts'
import type { ResponseRequest } from '../../model/responses/request.ts'
import { endedResponse, type ResponseObject } from '../../model/responses/response.ts'
import { toldHistory } from '../../model/responses/told-history.ts'
import { upstreamResponseBody } from '../../model/responses/upstream-body.ts'
import type { Target } from '../../providers/registry.ts'
import type { Recorder } from '../../recorder/recorder.ts'
import { endResponse } from '../../recorder/respond.ts'
import type { GatewayRequest } from '../gateway-request.ts'
import type { History } from './history.ts'
import { chatRendition, shortfallFor, upstreamRendition } from './renditions.ts'

/** A response to be made: what was asked, and what it goes on from. */
export interface ResponseAsk {
  readonly userId: string
  readonly request: ResponseRequest
  /** As it stands before anything has come of it. */
  readonly begun: ResponseObject
  readonly items: readonly Item[]
  readonly history: History
  /** Puts a text in the form in which it is kept, where that is another. */
  readonly kept?: ((text: string) => Promise<string>) | undefined
}

/**
 * The targets that can be asked, and how: one that speaks Responses in its own words, any other by a chat completion.
 * @throws SteleError not_translatable when no target is left, invalid_value
 */
export function responseTargets(ask: ResponseAsk, targets: readonly Target[]): readonly Target[] {
  const { model, prompt } = ask.request.fields
  let refusal: SteleError | undefined
  const refuse: Refuse = (param, what) => {
    refusal ??= new SteleError('not_translatable', { model, what }, { param })
  }
  chatParameters(ask.request, refuse)
  const messages = chatMessages(ask.items, refuse)
  if (prompt == null && ask.history.messages.length + messages.length === 0)
    throw new SteleError('missing_required_parameter', { name: 'input' }, { param: 'input' })
  if (refusal === undefined) return targets
  const able = targets.filter(speaksResponses)
  if (able.length === 0) throw refusal
  return able
}

/** A response to be made, as the gateway asks for any reply. */
export function responseRequest(ask: ResponseAsk, recorder: Pick<Recorder, 'change'>): GatewayRequest {
  const { request, begun, history, items, userId, kept } = ask
  const added = chatMessages(items, leaveOut).map(chatMessage)
  const messages = [...history.messages, ...added]
  const parameters = chatParameters(request, leaveOut)
  // Of what is not kept, nothing may stand between messages that are.
  const continues = request.store
    ? history.continues && { ...history.continues, newMessages: added.length }
    : undefined
  const response = request.store ? startOf(ask) : undefined
  const rendering = { isKept: request.store, showsLogprobs: wantsLogprobs(request.fields) }
  const givenUp = async (error: SteleError, said: unknown): Promise<void> => {
    if (!request.store) return
    const ended = endedResponse(begun, {
      output: [],
      usage: {},
      shortfall: shortfallFor(error, said),
      endedAt: Date.now(),
    })
    const text = JSON.stringify(ended)
    const body = kept === undefined ? text : await kept(text)
    await endResponse(recorder, userId, { id: begun.id, status: ended.status, body })
  }
  const shared = { stream: request.stream, hidesUsage: false, givenUp, asEvents: () => Buffer.alloc(0) }

  const asChat = ({ provider, model }: Target): GatewayRequest => {
    const body = writeChatRequest({
      model,
      instructions: request.fields.instructions ?? undefined,
      messages,
      parameters,
      stream: request.stream,
      asksUsage: provider.asksUsage ?? true,
      user: request.fields.user ?? undefined,
      keepsContent: request.store,
    })
    return {
      ...shared,
      body,
      recording: { continues, response },
      replyKind: 'a chat completion',
      send: ({ provider, model }, user, signal) =>
        provider.chat({ userId: user, model, request: body, signal }),
      readReply: readCompletion,
      render: () => chatRendition(begun, rendering),
    }
  }

  const asResponse = ({ model }: Target): GatewayRequest => {
    const { text, historySpan } = upstreamResponseBody(
      request,
      model,
      toldHistory(history.messages.map(({ raw }) => raw)),
    )
    const body = { ...forwardedBody(request, text, model, messages), historySpan }
    return {
      ...shared,
      ...forwardedResponse(text),
      body,
      recording: { operation: 'responses', continues, response },
      render: () => upstreamRendition(begun, rendering),
    }
  }

  return {
    ...shared,
    body: forwardedBody(request, request.text, request.fields.model, messages),
    replyKind: 'a response',
    readReply: readResponse,
    send: () => Promise.reject(new Error('a response is asked of a target')),
    forTarget: target => (speaksResponses(target) ? asResponse(target) : asChat(target)),
  }
}

/** A request that is passed on in the words of Responses. */
export function forwardedResponse(
  text: string,
): Pick<GatewayRequest, 'replyKind' | 'send' | 'readReply' | 'hidesUsage' | 'asEvents'> {
  return {
    replyKind: 'a response',
    hidesUsage: false,
    async send({ provider, model }, user, signal) {
      const answer = provider.forward?.({ operation: 'responses', userId: user, body: text, signal })
      if (answer === undefined) throw new SteleError('model_not_found', { model, hint: '' })
      return answer
    },
    readReply: readResponse,
    asEvents: () => Buffer.alloc(0),
  }
}

export function speaksResponses({ provider }: Target): boolean {
  return provider.forwards?.has('responses') === true
}

/** Whoever cannot be told of something was found out before; what is left is what nobody need be told of. */
const leaveOut: Refuse = () => undefined

/** A request in the words of Responses: kept as one text, and threaded by what chat messages can hold of it. */
export function forwardedBody(
  { fields, stream, store }: ResponseRequest,
  text: string,
  model: string,
  messages: readonly ChatMessage[],
): ChatRequest {
  const { input: _, metadata: __, ...parameters } = fields
  return {
    text,
    value: { ...parameters, operation: 'responses' },
    members: [],
    messages,
    messageSpans: [],
    model,
    stream,
    includeUsage: true,
    user: fields.user ?? undefined,
    store: store ? undefined : false,
    metadata: {},
  }
}

function startOf({ request, begun, items }: ResponseAsk): ResponseStart {
  const { metadata } = request.fields
  return {
    id: begun.id,
    previousResponseId: request.previousResponseId,
    input: JSON.stringify(items),
    body: JSON.stringify(begun),
    metadata: metadata == null ? undefined : JSON.stringify(metadata),
  }
}
