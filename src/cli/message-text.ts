import { isFields } from '../model/reply.ts'
import { printableLine, printableText } from './printable.ts'

type Fields = Readonly<Record<string, unknown>>

const longestPart = 200

/** A message of a conversation as a person reads it: a heading, then what it says, made safe to show. */
export function messageText(heading: string, message: Fields): string {
  const lines = [
    ...contentLines(message['content']),
    ...(typeof message['refusal'] === 'string' ? [`[refusal] ${message['refusal']}`] : []),
    ...toolCallLines(message),
  ]
  const body = lines.length === 0 ? '(empty)' : lines.join('\n')
  return `${printableLine(`── ${heading} ──`)}\n${printableText(body)}\n`
}

/** Who speaks, as a heading: the role, and the name or the tool call if the message gives one. */
export function speakerOf(message: Fields): string {
  const role = typeof message['role'] === 'string' ? message['role'] : 'assistant'
  const detail = message['name'] ?? message['tool_call_id']
  return typeof detail === 'string' ? `${role} (${detail})` : role
}

function contentLines(content: unknown): string[] {
  if (typeof content === 'string') return [content]
  if (!Array.isArray(content)) return content == null ? [] : [shortened(content)]
  return content.map(part => {
    if (!isFields(part)) return shortened(part)
    const text = part['text'] ?? part['refusal']
    return typeof text === 'string' ? text : `[${String(part['type'] ?? 'part')}] ${shortened(part)}`
  })
}

function toolCallLines(message: Fields): string[] {
  const toolCalls = Array.isArray(message['tool_calls']) ? message['tool_calls'] : []
  const functions = toolCalls.map(call =>
    isFields(call) ? (call['function'] ?? call['custom'] ?? call) : call,
  )
  return [...functions, ...(message['function_call'] == null ? [] : [message['function_call']])].map(call =>
    isFields(call) && typeof call['name'] === 'string'
      ? `[tool call] ${call['name']}(${String(call['arguments'] ?? call['input'] ?? '')})`
      : `[tool call] ${shortened(call)}`,
  )
}

/** Images and files come as long base64: their beginning suffices to tell what they are. */
function shortened(value: unknown): string {
  const text = JSON.stringify(value) ?? ''
  return text.length <= longestPart ? text : `${text.slice(0, longestPart)}… (${text.length} characters)`
}
