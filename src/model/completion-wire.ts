import { randomUUID } from 'node:crypto'
import type { AssistantMessage, Reply } from './reply.ts'

/** Replies that Stele itself writes, in the wire format of chat completions. */
export interface WrittenReply {
  readonly id: string
  readonly model: string
  /** Seconds since 1970. */
  readonly created: number
  readonly choices: readonly { readonly message: AssistantMessage; readonly finishReason: string }[]
  readonly usage:
    | { readonly prompt_tokens: number; readonly completion_tokens: number; readonly total_tokens: number }
    | undefined
}

/** A reply with its usage as the wire counts it; no usage when the provider gave none. */
export function writtenReply(reply: Reply, model: string, created: number): WrittenReply {
  const { inputTokens, outputTokens } = reply.usage
  return {
    id: reply.providerResponseId ?? `chatcmpl-${randomUUID()}`,
    model: reply.responseModel ?? model,
    created,
    choices:
      reply.message === undefined
        ? []
        : [{ message: reply.message, finishReason: reply.finishReasons[0] ?? 'stop' }],
    usage:
      inputTokens === undefined || outputTokens === undefined
        ? undefined
        : {
            prompt_tokens: inputTokens,
            completion_tokens: outputTokens,
            total_tokens: inputTokens + outputTokens,
          },
  }
}

/** The reply as one JSON text. */
export function completionText({ id, model, created, choices, usage }: WrittenReply): string {
  return JSON.stringify({
    id,
    object: 'chat.completion',
    created,
    model,
    choices: choices.map(({ message, finishReason }, index) => ({
      index,
      message: { role: 'assistant', refusal: null, ...message },
      logprobs: null,
      finish_reason: finishReason,
    })),
    usage,
  })
}

/** The reply as server-sent events, its content cut by `split`. */
export function completionEvents(
  { id, model, created, choices, usage }: WrittenReply,
  includeUsage: boolean,
  split: (content: string) => readonly string[] = content => [content],
): string[] {
  const event = (rest: object): string =>
    `data: ${JSON.stringify({ id, object: 'chat.completion.chunk', created, model, ...rest })}\n\n`
  const delta = (index: number, fields: object, finishReason: string | null = null): string =>
    event({ choices: [{ index, delta: fields, logprobs: null, finish_reason: finishReason }] })
  const events = choices.flatMap(({ message, finishReason }, index) => {
    const { content, tool_calls: toolCalls, ...rest } = message
    return [
      delta(index, { role: 'assistant', content: content === null ? null : '', ...rest }),
      ...(content === null ? [] : split(content).map(piece => delta(index, { content: piece }))),
      ...(toolCalls ?? []).map((call, at) =>
        delta(index, { tool_calls: [{ index: at, ...(call as object) }] }),
      ),
      delta(index, {}, finishReason),
    ]
  })
  if (includeUsage && usage !== undefined) events.push(event({ choices: [], usage }))
  return [...events, 'data: [DONE]\n\n']
}
