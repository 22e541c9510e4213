import { type AssistantMessage, isFields, type Reply, usageOf } from '../reply.ts'
import { toolsUsed } from '../tool-use.ts'

type Fields = Readonly<Record<string, unknown>>

/** Reads a `response` object as a reply. Undefined when `value` is no such object. */
export function readResponse(value: unknown): Reply | undefined {
  if (!isFields(value) || value['object'] !== 'response' || !Array.isArray(value['output'])) return undefined
  const output = value['output'].filter(isFields)
  const message = messageOf(output)
  return {
    responseModel: text(value['model']),
    providerResponseId: text(value['id']),
    finishReasons: [finishReason(value, message)],
    usage: { ...toolsUsed(output, value['tools']), ...usageOf(value) },
    message,
  }
}

/** What of a response's output a chat message can hold. */
export function messageOf(output: readonly Fields[]): AssistantMessage {
  const parts = output
    .filter(item => item['type'] === 'message')
    .flatMap(({ content }) => (Array.isArray(content) ? content.filter(isFields) : []))
  const texts = parts.filter(part => part['type'] === 'output_text').map(part => String(part['text']))
  const refusals = parts.filter(part => part['type'] === 'refusal').map(part => String(part['refusal']))
  const calls = output.flatMap((item): Fields[] => {
    const { call_id: id, name } = item
    if (item['type'] === 'function_call')
      return [{ id, type: 'function', function: { name, arguments: item['arguments'] } }]
    if (item['type'] === 'custom_tool_call')
      return [{ id, type: 'custom', custom: { name, input: item['input'] } }]
    return []
  })
  return tellable({
    content: texts.length === 0 ? null : texts.join(''),
    ...(refusals.length === 0 ? {} : { refusal: refusals.join('') }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  })
}

/** A reply that says nothing, as it can be told when the conversation goes on: services refuse a message without content. */
export function tellable(message: AssistantMessage): AssistantMessage {
  const { content, refusal, tool_calls: calls, function_call: call } = message
  const saysNothing = content === null && refusal === undefined && calls === undefined && call === undefined
  return saysNothing ? { ...message, content: '' } : message
}

function finishReason({ status, incomplete_details: details }: Fields, message: AssistantMessage): string {
  if (status === 'incomplete')
    return isFields(details) && details['reason'] === 'content_filter' ? 'content_filter' : 'length'
  return message.tool_calls === undefined ? 'stop' : 'tool_calls'
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
