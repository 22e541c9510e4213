import { isUtf8 } from 'node:buffer'
import { z } from 'zod'
import { SteleError } from '../errors.ts'
import { arrayElements, type Member, nestingDepth, objectMembers, type Span } from './json-text.ts'

/** Deeper bodies are refused: nothing real nests so far, and code that walks them recursively must not overflow. */
const maxDepth = 256

/** Kept in a column of its own, where not every database can hold a NUL, and indexed, which not every length can be. */
const word = z
  .string()
  .min(1)
  .max(512)
  .refine(text => text.isWellFormed(), 'it holds half a surrogate pair')
  .regex(/^[^\0]*$/, 'it holds a NUL character')

/** Only what Stele itself acts on is checked; every other parameter is the provider's business. */
const chatBody = z.looseObject({
  model: word,
  messages: z.array(z.looseObject({ role: word })).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  user: z.string().nullish(),
})

const ownMembers = ['model', 'messages', 'stream', 'stream_options', 'user']

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
  /** Where each message stands in `text`. */
  readonly messageSpans: readonly Span[]
  readonly model: string
  readonly stream: boolean
  /** Whether the client itself asked for usage at the end of a stream. */
  readonly includeUsage: boolean
  readonly user: string | undefined
}

/**
 * Reads the body of `POST /v1/chat/completions`.
 * @throws SteleError invalid_utf8, invalid_json, json_too_deep, missing_required_parameter, invalid_value,
 * duplicate_member
 */
export function parseChatRequest(body: Uint8Array | string): ChatRequest {
  // Half a surrogate pair has no UTF-8: what was recorded would not be what was sent.
  if (typeof body === 'string' && !body.isWellFormed()) throw new SteleError('invalid_utf8')
  const text = typeof body === 'string' ? body : decodeUtf8(body)
  const value = parseJson(text)
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new SteleError('invalid_json', { reason: 'it must be an object' })
  }
  if (nestingDepth(text) > maxDepth) throw new SteleError('json_too_deep', { limit: maxDepth })
  const checked = chatBody.safeParse(value)
  if (!checked.success) throw parameterError(checked.error, value as Record<string, unknown>)

  const members = objectMembers(text)
  for (const name of ownMembers) {
    if (members.filter(member => member.name === name).length > 1)
      throw new SteleError('duplicate_member', { name })
  }
  const messagesMember = members.find(member => member.name === 'messages')
  const messageSpans = messagesMember === undefined ? [] : arrayElements(text, messagesMember.start)
  const { model, messages, stream, stream_options: streamOptions, user } = checked.data
  return {
    text,
    value: value as Record<string, unknown>,
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
  }
}

/** Decodes UTF-8 and refuses what is not: a replacement character would silently change what is recorded. */
function decodeUtf8(body: Uint8Array): string {
  if (!isUtf8(body)) throw new SteleError('invalid_utf8')
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message quotes the text, and a body must not end up in an error or a log.
    throw new SteleError('invalid_json', {
      reason: text.trim() === '' ? 'it is empty' : 'it cannot be parsed',
    })
  }
}

function parameterError(error: z.ZodError, value: Record<string, unknown>): SteleError {
  const issue = error.issues[0]
  const path = issue?.path ?? []
  const name = path
    .map((step, index) => (typeof step === 'number' ? `[${step}]` : `${index ? '.' : ''}${String(step)}`))
    .join('')
  const isMissing =
    path.length > 0 &&
    path.reduce<unknown>(
      (at, step) => (at as Record<PropertyKey, unknown> | null | undefined)?.[step],
      value,
    ) === undefined
  if (isMissing) return new SteleError('missing_required_parameter', { name }, { param: name })
  return new SteleError(
    'invalid_value',
    { name, reason: issue?.message ?? 'not as expected' },
    { param: name },
  )
}
