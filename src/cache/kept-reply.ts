import { completionText, writtenReply } from '../model/completion-wire.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { isPlainOperation } from '../model/plain-request.ts'
import { isFields, readChoices, readCompletion } from '../model/reply.ts'
import { eventData, SseSplitter } from '../model/sse.ts'
import { StreamedReply } from '../model/stream-reply.ts'

/** A reply as its provider sent it. */
export interface ReceivedReply {
  readonly body: string | Uint8Array
  /** Whether it is a stream of events. */
  readonly isStream: boolean
}

type Fields = Readonly<Record<string, unknown>>

/** Why a reply may end that is whole. One that was cut off or held back is asked for again. */
const whole: ReadonlySet<unknown> = new Set(['stop', 'tool_calls', 'function_call'])

/** Of a stream, what its chunks say of the reply as a whole. */
const ofReply = ['system_fingerprint', 'service_tier', 'usage'] as const

/**
 * What is kept of a reply so that it can be given again: JSON as of one that came whole. Undefined of one that is not to be
 * given again: cut off, held back, without an answer, or in a form that Stele does not put together.
 * @param operation `chat` or one of the plain operations
 */
export function keptReply(operation: string, { body, isStream }: ReceivedReply): string | undefined {
  const bytes = typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (operation === 'embeddings') return isStream ? undefined : bytes.toString('utf8')
  if (isPlainOperation(operation) || operation !== 'chat') return undefined
  const completion = isStream ? fromEvents(Buffer.from(bytes)) : maybeJson(bytes.toString('utf8'))
  return isFields(completion) && isWhole(completion) ? JSON.stringify(completion) : undefined
}

/** A kept reply as the answer to another call: the same but for its name and its time. */
export function replyAgain(
  operation: string,
  kept: string,
  call: { readonly callId: string; readonly createdAt: number },
): string {
  if (operation !== 'chat') return kept
  const completion = JSON.parse(kept) as Fields
  const { id: _, created: __, object, ...rest } = completion
  return JSON.stringify({
    id: `chatcmpl-${call.callId}`,
    object: object ?? 'chat.completion',
    created: Math.floor(call.createdAt / 1000),
    ...rest,
  })
}

/** Whether a kept reply can be told as a stream without losing anything. */
export function isStreamable(kept: string): boolean {
  const { choices } = JSON.parse(kept) as Fields
  const messages = Array.isArray(choices) ? choices.filter(isFields).map(({ message }) => message) : []
  return messages.every(message => isFields(message) && !saysMore(message))
}

function isWhole(completion: Fields): boolean {
  const choices = Array.isArray(completion['choices']) ? completion['choices'].filter(isFields) : []
  if (choices.length === 0 || !choices.every(choice => whole.has(choice['finish_reason']))) return false
  return readChoices(completion).every(
    ({ message: { content, refusal, tool_calls: calls, function_call: call } }) =>
      refusal === undefined && ((content ?? '') !== '' || calls !== undefined || call !== undefined),
  )
}

/** The reply that a stream of chunks amounts to. */
function fromEvents(bytes: Buffer): Fields | undefined {
  const streamed = new StreamedReply()
  const splitter = new SseSplitter()
  const facts: Record<string, unknown> = {}
  for (const event of [...splitter.push(bytes), ...splitter.end()]) {
    const chunk = maybeJson(eventData(event) ?? '')
    if (!isFields(chunk)) continue
    streamed.add(chunk)
    for (const name of ofReply) if (chunk[name] != null) facts[name] = chunk[name]
    // What no whole reply could be put together of.
    if (hasMore(chunk)) return undefined
  }
  if (!streamed.isFinished) return undefined
  const reply = streamed.reply()
  const written = writtenReply(reply, streamed.choices(), reply.responseModel ?? '', {
    callId: '',
    createdAt: 0,
  })
  const completion = JSON.parse(completionText(written)) as Fields
  return readCompletion(completion) === undefined ? undefined : { ...completion, ...facts }
}

/** What of a message is put together, and taken apart again. */
const known: ReadonlySet<string> = new Set(['role', 'content', 'refusal', 'tool_calls', 'function_call'])

function saysMore(message: Fields): boolean {
  return Object.entries(message).some(
    ([name, value]) =>
      (known.has(name) ? name === 'content' && Array.isArray(value) : value != null) &&
      !(Array.isArray(value) && value.length === 0),
  )
}

/** Whether a chunk says something of its choices that putting it together would lose. */
function hasMore({ choices }: Fields): boolean {
  return (
    Array.isArray(choices) && choices.filter(isFields).some(({ delta }) => isFields(delta) && saysMore(delta))
  )
}
