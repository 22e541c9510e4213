import { type AssistantMessage, assistantMessage, isFields } from '../model/reply.ts'
import { readResponse } from '../model/responses/reply.ts'
import { eventData, SseSplitter } from '../model/sse.ts'
import { StreamedReply } from '../model/stream-reply.ts'

/** The splitter looks at what it holds again with every event, so a long stream is handed to it in pieces. */
const pieceSize = 65_536

/** What each choice of a recorded reply says, or a response, streams put together. Empty when the body is neither. */
export function replyMessages(body: Uint8Array, contentType: string | undefined): AssistantMessage[] {
  if (contentType?.includes('text/event-stream')) return streamedMessages(body)
  const value = parsed(Buffer.from(body).toString('utf8'))
  const response = readResponse(value)?.message
  if (response !== undefined) return [response]
  const choices = isFields(value) && Array.isArray(value['choices']) ? value['choices'] : []
  return choices.flatMap(choice =>
    isFields(choice) && isFields(choice['message']) ? assistantMessage(choice['message']) : [],
  )
}

function streamedMessages(body: Uint8Array): AssistantMessage[] {
  const replies = new Map<number, StreamedReply>()
  for (const event of eventsOf(body)) {
    const chunk = parsed(eventData(event) ?? '')
    if (!isFields(chunk)) continue
    // The last event of a stream of Responses has all of it.
    const response = isEnd(chunk) ? readResponse(chunk['response'])?.message : undefined
    if (response !== undefined) return [response]
    if (!Array.isArray(chunk['choices'])) continue
    for (const choice of chunk['choices'].filter(isFields)) {
      const index = typeof choice['index'] === 'number' ? choice['index'] : 0
      const reply = replies.get(index) ?? new StreamedReply()
      replies.set(index, reply)
      // A streamed reply collects its first choice only; each choice is made the first of its own.
      reply.add({ ...chunk, choices: [{ ...choice, index: 0 }] })
    }
  }
  return [...replies].sort(([a], [b]) => a - b).flatMap(([, reply]) => reply.reply().message ?? [])
}

function isEnd({ type }: Readonly<Record<string, unknown>>): boolean {
  return type === 'response.completed' || type === 'response.incomplete'
}

function* eventsOf(body: Uint8Array): Generator<Buffer> {
  const splitter = new SseSplitter()
  for (let at = 0; at < body.length; at += pieceSize) yield* splitter.push(body.subarray(at, at + pieceSize))
  yield* splitter.end()
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
