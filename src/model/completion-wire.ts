import { type Choice, isFields, type Reply } from './reply.ts'

/** Replies that Stele itself writes, in the wire format of chat completions. */
export interface WrittenReply {
  readonly id: string
  readonly model: string
  /** Seconds since 1970. */
  readonly created: number
  readonly choices: readonly Choice[]
  /** What else every event of a stream tells of it. */
  readonly more?: Readonly<Record<string, unknown>> | undefined
  readonly usage:
    | { readonly prompt_tokens: number; readonly completion_tokens: number; readonly total_tokens: number }
    | undefined
}

/**
 * A reply with its usage as the wire counts it; no usage when the provider gave none. What the provider left out is
 * taken from the call, so that the same call is always written the same way.
 */
export function writtenReply(
  reply: Reply,
  choices: readonly Choice[],
  model: string,
  call: { readonly callId: string; readonly createdAt: number },
): WrittenReply {
  const { inputTokens, outputTokens } = reply.usage
  return {
    id: reply.providerResponseId ?? `chatcmpl-${call.callId}`,
    model: reply.responseModel ?? model,
    created: Math.floor(call.createdAt / 1000),
    choices,
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

/** What a whole reply says that its events do not tell by themselves, as its provider said it. */
export function withOwnFacts(written: WrittenReply, value: unknown): WrittenReply {
  if (!isFields(value)) return written
  const more = Object.fromEntries(
    ['service_tier', 'system_fingerprint'].flatMap(name =>
      value[name] == null ? [] : [[name, value[name]]],
    ),
  )
  const usage =
    isFields(value['usage']) && written.usage ? { ...value['usage'], ...written.usage } : written.usage
  return { ...written, more, usage }
}

/** The reply as one JSON text. */
export function completionText({ id, model, created, choices, usage }: WrittenReply): string {
  return JSON.stringify({
    id,
    object: 'chat.completion',
    created,
    model,
    choices: choices.map(({ index, message, finishReason, logprobs }) => ({
      index,
      message: { role: 'assistant', refusal: null, ...message },
      logprobs: logprobs ?? null,
      finish_reason: finishReason ?? 'stop',
    })),
    usage,
  })
}

/** The reply as server-sent events, its content cut by `split`. */
export function completionEvents(
  { id, model, created, choices, more, usage }: WrittenReply,
  includeUsage: boolean,
  split: (content: string) => readonly string[] = content => [content],
): string[] {
  const event = (rest: object): string =>
    `data: ${JSON.stringify({ id, object: 'chat.completion.chunk', created, model, ...more, ...rest })}\n\n`
  const delta = (
    index: number,
    fields: object,
    rest: { finish_reason?: string; logprobs?: unknown } = {},
  ): string => event({ choices: [{ index, delta: fields, logprobs: null, finish_reason: null, ...rest }] })
  const events = choices.flatMap(({ index, message, finishReason, logprobs }) => {
    const { content, tool_calls: toolCalls, ...rest } = message
    const start = { role: 'assistant', content: content === null ? null : '', ...rest }
    return [
      delta(index, start, logprobs == null ? {} : { logprobs }),
      ...(content === null ? [] : split(content).map(piece => delta(index, { content: piece }))),
      ...(toolCalls ?? []).map((call, at) =>
        delta(index, { tool_calls: [{ index: at, ...(call as object) }] }),
      ),
      delta(index, {}, { finish_reason: finishReason ?? 'stop' }),
    ]
  })
  if (includeUsage && usage !== undefined) events.push(event({ choices: [], usage }))
  return [...events, 'data: [DONE]\n\n']
}
