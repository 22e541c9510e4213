import { canonicalJson, canonicalMessage } from './canonical.ts'
import type { ChatRequest } from './chat-request.ts'
import type { ConversationHashes } from './hashes.ts'
import type { PlainRequest } from './plain-request.ts'

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
  /** The text between two messages. */
  readonly separator: string
  readonly messages: readonly PreparedMessage[]
  readonly promptHash: string
  /** False when nothing of what is said may be kept: the texts are blank, their hashes are there. */
  readonly keepsContent: boolean
}

/** Parameters that do not change what is answered, only how it is delivered or filed. */
const deliveryOnly = new Set([
  'model',
  'messages',
  'stream',
  'stream_options',
  'user',
  'store',
  'metadata',
  'safety_identifier',
])

export function prepareRequest(request: ChatRequest, hashes: ConversationHashes): PreparedRequest {
  let chainHash = ''
  let wireHash = ''
  const messages = request.messages.map(({ role, raw, value }): PreparedMessage => {
    chainHash = hashes.chain(chainHash, canonicalMessage(value))
    wireHash = hashes.wire(wireHash, raw)
    return { role, raw, chainHash, wireHash }
  })
  const promptHash = hashes.prompt(chainHash, canonicalParameters(request.value))
  const keepsContent = request.store !== false
  if (keepsContent) return { ...cutMessages(request), messages, promptHash, keepsContent }
  return {
    frame: '',
    messagesAt: undefined,
    separator: ',',
    messages: messages.map(message => ({ ...message, raw: '' })),
    promptHash,
    keepsContent,
  }
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
    keepsContent: true,
  }
}

function canonicalParameters(value: Readonly<Record<string, unknown>>): string {
  const parameters = Object.entries(value).filter(([name, each]) => !deliveryOnly.has(name) && each !== null)
  return canonicalJson(Object.fromEntries(parameters))
}

function cutMessages({
  text,
  messageSpans,
}: ChatRequest): Pick<PreparedRequest, 'frame' | 'messagesAt' | 'separator'> {
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

/** The inverse of cutting: the exact text that was sent. */
export function assembleRequest(
  parts: Pick<PreparedRequest, 'frame' | 'messagesAt' | 'separator'>,
  rawMessages: readonly string[],
): string {
  const { frame, messagesAt, separator } = parts
  if (messagesAt === undefined) return frame
  return frame.slice(0, messagesAt) + rawMessages.join(separator) + frame.slice(messagesAt)
}
