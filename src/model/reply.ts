import { readUsage, serviceTierOf, type Usage } from './usage.ts'

export type { Usage } from './usage.ts'

/** What a provider's reply says, whether it came whole or as a stream. */
export interface Reply {
  readonly responseModel?: string | undefined
  readonly providerResponseId?: string | undefined
  readonly finishReasons: readonly string[]
  readonly usage: Usage
  /** The first choice's message as a client would send it back, undefined when there is none. */
  readonly message?: AssistantMessage | undefined
}

export interface AssistantMessage {
  readonly content: string | null
  readonly refusal?: string
  readonly tool_calls?: readonly unknown[]
  readonly function_call?: unknown
}

/** One of the answers that a reply offers; `n` asks for several. */
export interface Choice {
  readonly index: number
  readonly message: AssistantMessage
  readonly finishReason: string | undefined
  /** As the provider gave them. */
  readonly logprobs?: unknown
}

type Fields = Readonly<Record<string, unknown>>

/** Reads a `chat.completion` object. Undefined when `value` is no such object. */
export function readCompletion(value: unknown): Reply | undefined {
  if (!isFields(value) || !Array.isArray(value['choices'])) return undefined
  const choices = value['choices'].filter(isFields)
  const first = choices.find(choice => (choice['index'] ?? 0) === 0)
  return {
    responseModel: text(value['model']),
    providerResponseId: text(value['id']),
    finishReasons: choices
      .map(choice => text(choice['finish_reason']))
      .filter(reason => reason !== undefined),
    usage: usageOf(value),
    message: isFields(first?.['message']) ? assistantMessage(first['message']) : undefined,
  }
}

/** What a reply says of what it took. */
export function usageOf(reply: Fields): Usage {
  const usage = readUsage(reply['usage'])
  const serviceTier = serviceTierOf(reply)
  return serviceTier === undefined ? usage : { ...usage, serviceTier }
}

/** Every choice of a `chat.completion` object that has a message. */
export function readChoices(value: unknown): Choice[] {
  if (!isFields(value) || !Array.isArray(value['choices'])) return []
  return value['choices'].filter(isFields).flatMap((choice, position): Choice[] => {
    const { index, message, logprobs } = choice
    if (!isFields(message)) return []
    return [
      {
        index: typeof index === 'number' ? index : position,
        message: assistantMessage(message),
        finishReason: text(choice['finish_reason']),
        logprobs,
      },
    ]
  })
}

/** Keeps of a provider's message what a client sends back on its next turn. */
export function assistantMessage(message: Fields): AssistantMessage {
  const content = saidText(message['content']) ?? null
  const toolCalls = message['tool_calls']
  return {
    content,
    ...(typeof message['refusal'] === 'string' ? { refusal: message['refusal'] } : {}),
    ...(Array.isArray(toolCalls) && toolCalls.length > 0 ? { tool_calls: toolCalls } : {}),
    ...(isFields(message['function_call']) ? { function_call: message['function_call'] } : {}),
  }
}

/** What a reply's content says: text, or the texts of its parts. Undefined when there is none. */
export function saidText(content: unknown): string | undefined {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return undefined
  const texts = content
    .filter(isFields)
    .flatMap(({ type, text }) => (type === 'text' && typeof text === 'string' ? [text] : []))
  return texts.length === 0 ? undefined : texts.join('')
}

/** The JSON text under which an assistant message is stored. */
export function assistantMessageText(message: AssistantMessage): string {
  return JSON.stringify({ role: 'assistant', ...message })
}

/**
 * Cuts the message's content out of a reply, as it is stored with the message already. Wherever the same string stands,
 * putting it back there gives the same text. Undefined when the reply spells it with other escapes.
 */
export function cutContent(
  body: string,
  content: string | null | undefined,
): { frame: string; contentAt: number } | undefined {
  if (typeof content !== 'string') return undefined
  const spelled = JSON.stringify(content)
  const contentAt = body.indexOf(spelled)
  if (contentAt === -1) return undefined
  return { frame: body.slice(0, contentAt) + body.slice(contentAt + spelled.length), contentAt }
}

/** The inverse of `cutContent`. */
export function restoreContent(frame: string, contentAt: number, content: string): string {
  return frame.slice(0, contentAt) + JSON.stringify(content) + frame.slice(contentAt)
}

export function isFields(value: unknown): value is Fields {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
