import type { Outcome } from '../model/call.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { isFields, type Reply } from '../model/reply.ts'
import { eventData, SseSplitter } from '../model/sse.ts'

/** The texts that a model made for a reply, or for what had come of it. */
export function outputTexts(
  { body }: Pick<Outcome, 'body'>,
  reply: Reply | undefined,
  operation: string,
): string[] {
  if (operation === 'completions') return completionTexts(body)
  const { message, finishReasons = [] } = reply ?? {}
  if (message === undefined) return []
  const calls = [...(message.tool_calls ?? []), message.function_call]
  const texts = [message.content, message.refusal, ...calls.flatMap(calledTexts)]
  const said = texts.filter(text => typeof text === 'string' && text !== '') as string[]
  // Only the first of several answers is at hand; the others are taken to be like it.
  return Array.from({ length: Math.max(1, finishReasons.length) }, () => said).flat()
}

function calledTexts(call: unknown): unknown[] {
  if (!isFields(call)) return []
  const { function: called, custom } = call
  const named = isFields(called) ? called : isFields(custom) ? custom : call
  return [named['name'], named['arguments'], named['input']]
}

/** Of a legacy completion, which has no messages: as one object, or as the events of a stream. */
function completionTexts(body: string | Uint8Array | undefined): string[] {
  if (body === undefined) return []
  if (typeof body === 'string') return choiceTexts(maybeJson(body))
  const splitter = new SseSplitter()
  const events = [...splitter.push(body), ...splitter.end()]
  return [events.flatMap(event => choiceTexts(maybeJson(eventData(event) ?? ''))).join('')].filter(
    text => text !== '',
  )
}

function choiceTexts(value: unknown): string[] {
  const choices = isFields(value) && Array.isArray(value['choices']) ? value['choices'].filter(isFields) : []
  return choices.flatMap(({ text }) => (typeof text === 'string' && text !== '' ? [text] : []))
}
