import { z } from 'zod'
import { checked, listOf, type Reading, readObject, word } from './json-body.ts'
import { arrayElements, type Member, objectMembers, type Span } from './json-text.ts'
import { type Metadata, metadata } from './metadata.ts'

/** Only what Stele itself acts on is checked; every other parameter is the provider's business. */
const chatBody = z.looseObject({
  model: word,
  messages: listOf(z.looseObject({ role: word })).refine(list => list.length > 0, 'it is empty'),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  user: z.string().nullish(),
  store: z.boolean().nullish(),
})

/** What is acted on only when the completion is to be listed. */
const listedBody = z.looseObject({ metadata })

export interface ChatMessage {
  readonly role: string
  /** The message as the client wrote it. */
  readonly raw: string
  readonly value: Readonly<Record<string, unknown>>
}

/** A chat-completions request, with its exact text beside its meaning. */
export interface ChatRequest {
  readonly text: string
  readonly value: Readonly<Record<string, unknown>>
  readonly members: readonly Member[]
  readonly messages: readonly ChatMessage[]
  /** Messages before these that are the request's own and no part of the conversation; they stand in its frame. */
  readonly preface?: readonly ChatMessage[]
  /** Where each message stands in `text`. */
  readonly messageSpans: readonly Span[]
  /** Where in `text` the messages that are on record already stand in other words, which are made of them. */
  readonly historySpan?: Span | undefined
  readonly model: string
  readonly stream: boolean
  /** Whether the client itself asked for usage at the end of a stream. */
  readonly includeUsage: boolean
  readonly user: string | undefined
  /** False when nothing that is said may be kept; true when the completion is to be listed; undefined when neither is asked for. */
  readonly store: boolean | undefined
  /** What the completion is to be listed with. */
  readonly metadata: Metadata
}

/** The same request, its first messages its own and not the conversation's. */
export function withPreface(request: ChatRequest, count: number): ChatRequest {
  const { messages, messageSpans } = request
  return {
    ...request,
    preface: messages.slice(0, count),
    messages: messages.slice(count),
    messageSpans: messageSpans.slice(count),
  }
}

/**
 * Reads the body of `POST /v1/chat/completions`; one that is still to be sent is read strictly.
 * @throws SteleError invalid_utf8, invalid_json, json_too_deep, missing_required_parameter, invalid_value,
 * duplicate_member
 */
export function parseChatRequest(
  body: Uint8Array | string,
  reading: Reading = { isStrict: false },
): ChatRequest {
  const read = readObject(body, reading)
  const { text, value } = read
  const { model, messages, stream, stream_options: streamOptions, user, store } = checked(chatBody, read)
  const members = objectMembers(text)
  const messagesMember = members.find(member => member.name === 'messages')
  const messageSpans = messagesMember === undefined ? [] : arrayElements(text, messagesMember.start)
  return {
    text,
    value,
    members,
    messages: messages.map((message, index) => {
      const span = messageSpans[index]
      return {
        role: message.role,
        raw: span === undefined ? '' : text.slice(span.start, span.end),
        value: message,
      }
    }),
    messageSpans,
    model,
    stream: stream === true,
    includeUsage: streamOptions?.include_usage === true,
    user: user ?? undefined,
    store: store ?? undefined,
    metadata: store === true ? (checked(listedBody, read).metadata ?? {}) : {},
  }
}
