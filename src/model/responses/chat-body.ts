import type { ChatMessage, ChatRequest } from '../chat-request.ts'
import { objectMembers, type Span } from '../json-text.ts'
import type { Refuse } from './chat-messages.ts'
import { chatToolChoice, chatTools } from './chat-tools.ts'
import type { ResponseFields, ResponseRequest } from './request.ts'

type Fields = Readonly<Record<string, unknown>>

/** Parameters that mean the same in both, under the same name. */
const sameName = [
  'temperature',
  'top_p',
  'parallel_tool_calls',
  'user',
  'safety_identifier',
  'prompt_cache_key',
  'service_tier',
] as const

/** Parameters that are Stele's business, translated here, or without a meaning for chat completions. */
const known: ReadonlySet<string> = new Set([
  ...sameName,
  'model',
  'input',
  'instructions',
  'previous_response_id',
  'conversation',
  'tools',
  'tool_choice',
  'text',
  'reasoning',
  'truncation',
  'stream',
  'store',
  'background',
  'metadata',
  'include',
  'top_logprobs',
  'max_output_tokens',
  'max_tool_calls',
  'stream_options',
  'prompt',
  'prompt_cache_retention',
  'prompt_cache_options',
  'context_management',
  'moderation',
])

/** Of chat completions, what would contradict the translation or multiply its reply. */
const notTaken: ReadonlySet<string> = new Set([
  'messages',
  'n',
  'functions',
  'function_call',
  'response_format',
  'max_tokens',
  'max_completion_tokens',
  'reasoning_effort',
  'verbosity',
  'logprobs',
  'modalities',
  'audio',
])

/**
 * The parameters of a chat-completions request that asks the same; what neither knows goes along as it was written: it is
 * meant for the provider. @throws SteleError invalid_value, and what `refuse` raises
 */
export function chatParameters(request: ResponseRequest, refuse: Refuse): Fields {
  const { fields } = request
  if (fields['prompt'] != null) refuse('prompt', 'a prompt template that is stored at OpenAI')
  const given: Record<string, unknown> = {}
  const set = (name: string, value: unknown): void => {
    if (value != null) given[name] = value
  }
  for (const name of sameName) set(name, fields[name])
  set('max_completion_tokens', fields.max_output_tokens)
  set('reasoning_effort', fields.reasoning?.effort)
  set('verbosity', fields.text?.verbosity)
  set('response_format', responseFormat(fields))
  set('tools', chatTools(fields.tools, refuse))
  set('tool_choice', chatToolChoice(fields.tool_choice, refuse))
  if (given['tools'] === undefined) {
    // Clients say so in any case, and chat completions refuse to be told how tools are used without any.
    delete given['parallel_tool_calls']
    if (given['tool_choice'] === 'auto' || given['tool_choice'] === 'none') delete given['tool_choice']
  }
  if (wantsLogprobs(fields)) {
    set('logprobs', true)
    set('top_logprobs', fields.top_logprobs)
  }
  for (const [name, value] of Object.entries(fields))
    if (!known.has(name) && !notTaken.has(name)) set(name, value)
  return given
}

/** Whether a request asks for the probabilities of what was answered. */
export function wantsLogprobs({ include, top_logprobs: top }: ResponseFields): boolean {
  return (top ?? 0) > 0 || include?.includes('message.output_text.logprobs') === true
}

function responseFormat({ text }: ResponseFields): unknown {
  const format = text?.format
  if (format == null || format.type === 'text') return undefined
  if (format.type === 'json_object') return { type: 'json_object' }
  const { name, description, schema, strict } = format
  return {
    type: 'json_schema',
    json_schema: {
      name,
      ...(description == null ? {} : { description }),
      schema,
      ...(strict == null ? {} : { strict }),
    },
  }
}

export interface ChatBody {
  /** The model as the provider knows it. */
  readonly model: string
  readonly instructions: string | undefined
  /** The conversation, oldest message first: what is on record in its own words, then what is new. */
  readonly messages: readonly ChatMessage[]
  readonly parameters: Fields
  readonly stream: boolean
  /** A provider is asked to tell at the end of a stream what it has cost. */
  readonly asksUsage: boolean
  readonly user: string | undefined
  /** False when nothing that is said may be kept. */
  readonly keepsContent: boolean
}

/**
 * Writes a chat-completions request. The instructions stand before the conversation and are no part of it: another turn
 * may have others.
 */
export function writeChatRequest(body: ChatBody): ChatRequest {
  const { model, instructions, messages, parameters, stream, asksUsage } = body
  const preface = instructions === undefined ? [] : [systemMessage(instructions)]
  let text = `{"model":${JSON.stringify(model)},"messages":[`
  const messageSpans: Span[] = []
  for (const [index, { raw }] of [...preface, ...messages].entries()) {
    if (index > 0) text += ','
    if (index >= preface.length) messageSpans.push({ start: text.length, end: text.length + raw.length })
    text += raw
  }
  text += ']'
  const rest: Record<string, unknown> = { ...parameters }
  if (stream) rest['stream'] = true
  if (stream && asksUsage) rest['stream_options'] = { include_usage: true }
  for (const [name, value] of Object.entries(rest))
    text += `,${JSON.stringify(name)}:${JSON.stringify(value)}`
  text += '}'
  return {
    text,
    value: { model, ...rest },
    members: objectMembers(text),
    messages,
    preface,
    messageSpans,
    model,
    stream,
    includeUsage: asksUsage,
    user: body.user,
    // Providers are not told: what is kept is kept here.
    store: body.keepsContent ? undefined : false,
    metadata: {},
  }
}

/** A chat message and its text. */
export function chatMessage(value: Fields & { readonly role: string }): ChatMessage {
  return { role: value.role, raw: JSON.stringify(value), value }
}

function systemMessage(content: string): ChatMessage {
  return chatMessage({ role: 'system', content })
}
