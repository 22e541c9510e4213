import { maybeJson } from './maybe-json.ts'
import type { Metadata } from './metadata.ts'
import { type Choice, isFields } from './reply.ts'
import { eventData, SseSplitter } from './sse.ts'
import { StreamedReply } from './stream-reply.ts'

/** What is known of a stored completion beside its reply. */
export interface StoredFacts {
  readonly id: string
  readonly model: string
  readonly metadata: Metadata
  /** Milliseconds since 1970, UTC; for replies that do not say when they were made. */
  readonly createdAt: number
}

type Fields = Readonly<Record<string, unknown>>

/**
 * A recorded reply as OpenAI's `chat.completion` object. What a service beside OpenAI left out, or wrote as null where
 * OpenAI does not, is put right; whatever else it wrote stays. Without a reply, one that says nothing.
 */
export function completionObject(reply: Fields | undefined, facts: StoredFacts): Fields {
  const { choices, created, model, ...rest } = withoutNulls(reply ?? {})
  return {
    ...rest,
    id: facts.id,
    object: 'chat.completion',
    created: Number.isInteger(created) ? created : Math.floor(facts.createdAt / 1000),
    model: typeof model === 'string' ? model : facts.model,
    choices: Array.isArray(choices) ? choices.filter(isFields).map(wholeChoice) : [],
    metadata: facts.metadata,
  }
}

/** The members in which the chunks of a stream tell of the whole. */
const toldByChunks = ['created', 'model', 'service_tier', 'system_fingerprint', 'usage']

/** The events of a recorded stream, put together as if the reply had come whole. */
export function completionFromEvents(transcript: Uint8Array): Fields {
  const streamed = new StreamedReply()
  const told: Record<string, unknown> = {}
  for (const chunk of chunksOf(transcript)) {
    streamed.add(chunk)
    for (const name of toldByChunks) told[name] = chunk[name] ?? told[name]
  }
  return { ...told, choices: streamed.choices().map(asWritten) }
}

function* chunksOf(transcript: Uint8Array): Generator<Fields> {
  const splitter = new SseSplitter()
  for (let at = 0; at < transcript.length; at += sliceLength)
    yield* [...splitter.push(transcript.subarray(at, at + sliceLength))].flatMap(chunkOf)
  yield* [...splitter.end()].flatMap(chunkOf)
}

/** The splitter looks at what it holds again with every event, so a long stream is handed to it in slices. */
const sliceLength = 65_536

function chunkOf(event: Buffer): Fields[] {
  const data = eventData(event)
  if (data === undefined || data === '[DONE]') return []
  // The last event of a stream that was stopped may be half of one.
  const value = maybeJson(data)
  return isFields(value) ? [value] : []
}

function asWritten({ index, message, finishReason, logprobs }: Choice): Fields {
  return { index, message, finish_reason: finishReason, logprobs }
}

function wholeChoice(choice: Fields, position: number): Fields {
  const { index, message, finish_reason: finishReason, logprobs, ...rest } = choice
  const { content, refusal, role: _, ...more } = withoutNulls(isFields(message) ? message : {})
  return {
    ...rest,
    index: Number.isInteger(index) ? index : position,
    message: { role: 'assistant', content: content ?? null, refusal: refusal ?? null, ...more },
    finish_reason: finishReason ?? 'stop',
    logprobs: isFields(logprobs) ? { content: null, refusal: null, ...logprobs } : null,
  }
}

/** The messages of a stored completion's request, as OpenAI lists them. */
export function listedMessages(request: Fields, id: string): Fields[] {
  const messages = Array.isArray(request['messages']) ? request['messages'].filter(isFields) : []
  return messages.map((message, index) => {
    const { content, refusal, name, audio: _, ...rest } = withoutNulls(message)
    return {
      ...rest,
      id: `${id}-${index}`,
      content: typeof content === 'string' ? content : null,
      refusal: refusal ?? null,
      name: name ?? null,
      content_parts: Array.isArray(content) ? content : null,
    }
  })
}

function withoutNulls(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== null && value !== undefined),
  )
}
