import { isFields } from '../model/reply.ts'

/** A message of a chat, with its exact text beside what a person reads of it. */
export interface ChatMessage {
  readonly role: string
  /** As it is sent: JSON text. */
  readonly raw: string
  /** What it says; parts that are no text are named only. */
  readonly text: string
}

export function chatMessage(role: string, content: string): ChatMessage {
  return { role, raw: JSON.stringify({ role, content }), text: content }
}

/** A message as it was recorded or received. */
export function messageFrom(raw: string): ChatMessage {
  const value: unknown = JSON.parse(raw)
  const message = isFields(value) ? value : {}
  const { role } = message
  return { role: typeof role === 'string' ? role : 'assistant', raw, text: textOf(message) }
}

function textOf(message: Readonly<Record<string, unknown>>): string {
  const { content, refusal, tool_calls: toolCalls } = message
  const calls = Array.isArray(toolCalls) ? toolCalls.filter(isFields).map(toolCallText) : []
  const refused = typeof refusal === 'string' ? [refusal] : []
  return [...contentText(content), ...refused, ...calls].join('\n')
}

function contentText(content: unknown): string[] {
  if (typeof content === 'string') return content === '' ? [] : [content]
  if (!Array.isArray(content)) return []
  return content.filter(isFields).map(part => {
    const { type, text } = part
    return typeof text === 'string' ? text : `[${typeof type === 'string' ? type : 'part'}]`
  })
}

function toolCallText(call: Readonly<Record<string, unknown>>): string {
  const { function: called } = call
  return isFields(called) ? `[tool call] ${String(called['name'])}` : '[tool call]'
}

/** The body of a request that asks for a stream: messages go as they are, so that they are stored once. */
export function requestBody(model: string, messages: readonly ChatMessage[], more = ''): string {
  return `{"model":${JSON.stringify(model)},${asked(messages)}${more}}`
}

/** The same for several models at once. */
export function comparisonBody(
  models: readonly string[],
  messages: readonly ChatMessage[],
  more = '',
): string {
  return `{"models":${JSON.stringify(models)},${asked(messages)}${more}}`
}

function asked(messages: readonly ChatMessage[]): string {
  return `"messages":[${messages.map(({ raw }) => raw).join(',')}],"stream":true`
}
