import { contentDigest } from './call-record.ts'
import { canonicalJson, canonicalMessage } from './canonical.ts'
import type { ChatMessage, ChatRequest } from './chat-request.ts'
import type { ConversationHashes } from './hashes.ts'
import type { Span } from './json-text.ts'
import type { PlainRequest } from './plain-request.ts'
import { historyMark } from './responses/told-history.ts'

export interface PreparedMessage {
  readonly role: string
  readonly raw: string
  readonly chainHash: string
  readonly wireHash: string
}

/** A request taken apart for storage: `frame` with the messages cut out, and the messages. */
export interface PreparedRequest {
  /** The request's text without its messages, or all of it when `messagesAt` is undefined. */
  readonly frame: string
  /** Where in `frame` the messages belong; undefined when they cannot be cut out and put back exactly. */
  readonly messagesAt: number | undefined
  /** The text between two messages, or the mark of a history in other words. */
  readonly separator: string
  readonly messages: readonly PreparedMessage[]
  readonly promptHash: string
  /** Of the exact request; undefined when it is not kept. */
  readonly contentDigest: string | undefined
  /** False when nothing of what is said may be kept: the texts are blank, their hashes are there. */
  readonly keepsContent: boolean
}

/** Parameters that do not change what is answered, only how it is delivered or filed. */
export const deliveryOnly: ReadonlySet<string> = new Set([
  'model',
  'messages',
  'stream',
  'stream_options',
  'user',
  'store',
  'metadata',
  'safety_identifier',
])

/** A recorded message that a request goes on from, for who knows without looking. */
export interface Continuation {
  readonly conversationId: string
  /** The place of that message; -1 when the conversation is still empty. */
  readonly seq: number
  /** The message's hashes; '' for none. */
  readonly chainHash: string
  readonly wireHash: string
  /** How many messages at the end of the request are not recorded yet. */
  readonly newMessages: number
  /** False when the request leaves out messages of that conversation: then it is kept as one text. */
  readonly isWhole: boolean
  /** The conversation must not have gone on meanwhile; without it, what goes on from an earlier message is a fork. */
  readonly onlyAtEnd?: boolean
  /** The places of messages at its end that were asked in vain: from now on they count as deleted. */
  readonly withdraws?: readonly number[]
}

/** Takes a request apart. Of one that is known to continue, only what is new counts as its messages. */
export function prepareRequest(
  request: ChatRequest,
  hashes: ConversationHashes,
  continues?: Continuation,
): PreparedRequest {
  if (continues === undefined) {
    const messages = hashMessages(request.messages, hashes, { chainHash: '', wireHash: '' })
    return kept(request, {
      ...cutMessages(request),
      messages,
      promptHash: promptHash(request, messages, hashes, ''),
    })
  }
  const added = continues.newMessages === 0 ? [] : request.messages.slice(-continues.newMessages)
  const messages = hashMessages(added, hashes, continues)
  if (continues.isWhole) {
    const hash = promptHash(request, messages, hashes, continues.chainHash)
    const { historySpan } = request
    const cut =
      historySpan === undefined ? cutMessages(request) : cutHistory(request, historySpan, continues.seq)
    return kept(request, { ...cut, messages, promptHash: hash })
  }
  const sent = hashMessages(request.messages, hashes, { chainHash: '', wireHash: '' })
  const whole = { frame: request.text, messagesAt: undefined, separator: ',' }
  return kept(request, { ...whole, messages, promptHash: promptHash(request, sent, hashes, '') })
}

/** What of a request is kept: of one that must not be, its hashes alone. */
function kept(
  { store, text }: ChatRequest,
  prepared: Omit<PreparedRequest, 'keepsContent' | 'contentDigest'>,
): PreparedRequest {
  if (store !== false) return { ...prepared, contentDigest: contentDigest(text), keepsContent: true }
  return {
    frame: '',
    messagesAt: undefined,
    separator: ',',
    messages: prepared.messages.map(message => ({ ...message, raw: '' })),
    promptHash: prepared.promptHash,
    contentDigest: undefined,
    keepsContent: false,
  }
}

function hashMessages(
  messages: readonly ChatMessage[],
  hashes: ConversationHashes,
  before: { readonly chainHash: string; readonly wireHash: string },
): PreparedMessage[] {
  let { chainHash, wireHash } = before
  return messages.map(({ role, raw, value }): PreparedMessage => {
    chainHash = hashes.chain(chainHash, canonicalMessage(value))
    wireHash = hashes.wire(wireHash, raw)
    return { role, raw, chainHash, wireHash }
  })
}

/** @param before the chain hash of what stands before `messages` */
function promptHash(
  { value, preface = [] }: ChatRequest,
  messages: readonly PreparedMessage[],
  hashes: ConversationHashes,
  before: string,
): string {
  const all = preface.length === 0 ? value : { ...value, preface: preface.map(one => one.value) }
  return hashes.prompt(messages.at(-1)?.chainHash ?? before, canonicalParameters(all))
}

/** A request that is no chat has no messages to cut out. */
export function preparePlainRequest(
  { operation, text, value }: PlainRequest,
  hashes: ConversationHashes,
): PreparedRequest {
  return {
    frame: text,
    messagesAt: undefined,
    separator: ',',
    messages: [],
    promptHash: hashes.prompt('', `${operation} ${canonicalParameters(value)}`),
    contentDigest: contentDigest(text),
    keepsContent: true,
  }
}

function canonicalParameters(value: Readonly<Record<string, unknown>>): string {
  const parameters = Object.entries(value).filter(([name, each]) => !deliveryOnly.has(name) && each !== null)
  return canonicalJson(Object.fromEntries(parameters))
}

type Cut = Pick<PreparedRequest, 'frame' | 'messagesAt' | 'separator'>

function cutMessages({ text, messageSpans }: ChatRequest): Cut {
  const first = messageSpans[0]
  const last = messageSpans.at(-1)
  if (first === undefined || last === undefined) return { frame: text, messagesAt: undefined, separator: ',' }
  const second = messageSpans[1]
  const separator = second === undefined ? ',' : text.slice(first.end, second.start)
  const isEven = messageSpans.every((span, index) => {
    const before = messageSpans[index - 1]
    return before === undefined || text.slice(before.end, span.start) === separator
  })
  if (!isEven) return { frame: text, messagesAt: undefined, separator: ',' }
  return { frame: text.slice(0, first.start) + text.slice(last.end), messagesAt: first.start, separator }
}

/** What is new stays in the frame, as its client wrote it. */
function cutHistory({ text }: ChatRequest, { start, end }: Span, seq: number): Cut {
  return { frame: text.slice(0, start) + text.slice(end), messagesAt: start, separator: historyMark(seq) }
}

/** The inverse of cutting: the exact text that was sent. */
export function assembleRequest(
  parts: Pick<PreparedRequest, 'frame' | 'messagesAt' | 'separator'>,
  rawMessages: readonly string[],
): string {
  const { frame, messagesAt, separator } = parts
  if (messagesAt === undefined) return frame
  return frame.slice(0, messagesAt) + rawMessages.join(separator) + frame.slice(messagesAt)
}
