import type { Outcome } from '../../model/call.ts'
import type { ChatRequest } from '../../model/chat-request.ts'
import type { Span } from '../../model/json-text.ts'
import type { PlainRequest } from '../../model/plain-request.ts'
import { type AssistantMessage, isFields } from '../../model/reply.ts'
import { maskedEvents, maskedReply } from '../../privacy/masking/event-stream.ts'
import { type Edit, eachString, edited } from '../../privacy/masking/json-strings.ts'
import type { Masker } from '../../privacy/masking/masker.ts'
import { isEventStream } from '../../providers/provider.ts'

/** A request as its provider is to get it: its meaning is masked with its text. */
export async function maskedChat(request: ChatRequest, masker: Masker): Promise<ChatRequest> {
  const masked = await maskedText(request, masker)
  if (masked.text === request.text) return request
  const value = JSON.parse(masked.text) as Record<string, unknown>
  const sent = Array.isArray(value['messages']) ? value['messages'].filter(isFields) : []
  const own = sent.slice(sent.length - masked.messages.length)
  return {
    ...masked,
    value,
    messages: masked.messages.map((one, at) => ({ ...one, value: own[at] ?? one.value })),
  }
}

/**
 * A request as it is to be recorded: its texts masked, its meaning as it was. The hashes by which a conversation is found
 * again are made of the meaning, and its client will send that again.
 */
export async function storedBody<B extends ChatRequest | PlainRequest>(body: B, masker: Masker): Promise<B>
export async function storedBody(
  body: ChatRequest | PlainRequest,
  masker: Masker,
): Promise<ChatRequest | PlainRequest> {
  if (!('messages' in body)) return { ...body, text: await masker.json(body.text) }
  const metadata = JSON.parse(await masker.json(JSON.stringify({ metadata: body.metadata }))) as {
    metadata: ChatRequest['metadata']
  }
  const masked = await maskedText(body, masker)
  if (masked.messageSpans.length === masked.messages.length) return { ...masked, ...metadata }
  const messages = []
  for (const message of body.messages) messages.push({ ...message, raw: await masker.json(message.raw) })
  return { ...masked, ...metadata, messages }
}

/** How a call ended as it is to be recorded. */
export async function storedOutcome(outcome: Outcome, masker: Masker): Promise<Outcome> {
  const { reply, body, response, document, contentType } = outcome
  const said = reply?.message
  // First, so that its values are numbered as they will be when its client sends it back.
  const message = said && (JSON.parse(await masker.json(JSON.stringify(said))) as AssistantMessage)
  return {
    ...outcome,
    body: await storedReply(body, contentType ?? '', masker),
    ...(reply === undefined ? {} : { reply: { ...reply, message } }),
    ...(said === undefined ? {} : { said }),
    response: response && { ...response, body: await maskedReply(response.body, masker) },
    document: document && {
      ...document,
      output: document.output && (await maskedDocument(document.output, masker)),
      errorMessage: document.errorMessage && (await masker.text(document.errorMessage)),
    },
  }
}

/** A document, or what it is made of, as it is to be recorded. @param text JSON */
export async function maskedDocument(text: string, masker: Masker): Promise<string> {
  const said: string[] = []
  const note = ({ start, end }: Span): void => void said.push(text.slice(start, end))
  eachString(text, note, note)
  await masker.prepare(`{"input":[${said.join(',')}]}`)
  return edited(text, await masker.edits(text, { isJson: true }))
}

async function storedReply(
  body: Outcome['body'],
  contentType: string,
  masker: Masker,
): Promise<Outcome['body']> {
  if (body === undefined) return undefined
  if (typeof body !== 'string' && isEventStream(contentType)) return maskedEvents(body, masker)
  const text = typeof body === 'string' ? body : Buffer.from(body).toString('utf8')
  const masked = isJson(text) ? await maskedReply(text, masker) : await masker.text(text)
  if (masked === text) return body
  return typeof body === 'string' ? masked : Buffer.from(masked)
}

async function maskedText(request: ChatRequest, masker: Masker): Promise<ChatRequest> {
  const edits = await masker.jsonEdits(request.text)
  if (edits.length === 0) return request
  const text = edited(request.text, edits)
  const shift = shifter(edits)
  const messageSpans = request.messageSpans.map(shift)
  return {
    ...request,
    text,
    members: request.members.map(member => ({ ...member, ...shift(member) })),
    messageSpans,
    messages: request.messages.map((message, at) => {
      const span = messageSpans[at]
      return span === undefined ? message : { ...message, raw: text.slice(span.start, span.end) }
    }),
  }
}

/** Where a stretch of a text is after edits, none of which begins in one and ends outside of it. */
function shifter(edits: readonly Edit[]): (span: Span) => Span {
  const moved = edits.map(({ start, end, text }) => ({ end, by: text.length - (end - start) }))
  const place = (at: number): number =>
    at + moved.reduce((sum, { end, by }) => (end <= at ? sum + by : sum), 0)
  return ({ start, end }) => ({ start: place(start), end: place(end) })
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
