import { CallPlaces } from './call-places.ts'
import {
  type AssistantMessage,
  assistantMessage,
  type Choice,
  isFields,
  type Reply,
  saidText,
  type Usage,
  usageOf,
} from './reply.ts'
import { mergeUsage } from './usage.ts'

/** Collects the chunks of a streamed chat completion into the reply they amount to. */
export class StreamedReply {
  #responseModel: string | undefined
  #providerResponseId: string | undefined
  #usage: Usage = {}
  readonly #choices = new Map<number, StreamedChoice>()

  /** Takes one `chat.completion.chunk` object. */
  add(chunk: Readonly<Record<string, unknown>>): void {
    if (typeof chunk['model'] === 'string') this.#responseModel = chunk['model']
    if (typeof chunk['id'] === 'string' && chunk['id'] !== '') this.#providerResponseId ??= chunk['id']
    // Most tell at the end; Groq under a name of its own. A class of service is told with every chunk.
    if (isFields(chunk['usage']) || chunk['service_tier'] != null)
      this.#usage = mergeUsage(this.#usage, usageOf(chunk))
    else if (isFields(chunk['x_groq'])) this.#usage = mergeUsage(this.#usage, usageOf(chunk['x_groq']))
    const choices = Array.isArray(chunk['choices']) ? chunk['choices'].filter(isFields) : []
    for (const choice of choices) {
      const index = typeof choice['index'] === 'number' ? choice['index'] : 0
      const streamed = this.#choices.get(index) ?? new StreamedChoice()
      this.#choices.set(index, streamed)
      streamed.add(choice)
    }
  }

  /** True once every choice seen has said why it ended. */
  get isFinished(): boolean {
    return (
      this.#choices.size > 0 && [...this.#choices.values()].every(choice => choice.finishReason !== undefined)
    )
  }

  /** What has been received so far. */
  reply(): Reply {
    const choices = this.choices()
    return {
      responseModel: this.#responseModel,
      providerResponseId: this.#providerResponseId,
      finishReasons: choices.map(({ finishReason }) => finishReason).filter(reason => reason !== undefined),
      usage: this.#usage,
      message:
        this.#choices.get(0)?.isStarted === true
          ? choices.find(({ index }) => index === 0)?.message
          : undefined,
    }
  }

  /** The choices so far, in order. */
  choices(): Choice[] {
    return [...this.#choices]
      .sort(([a], [b]) => a - b)
      .map(([index, choice]) => ({
        index,
        message: choice.message(),
        finishReason: choice.finishReason,
        logprobs: choice.logprobs,
      }))
  }
}

class StreamedChoice {
  finishReason: string | undefined
  logprobs: Record<string, unknown[]> | undefined
  isStarted = false
  #content: string | undefined
  #refusal: string | undefined
  #functionCall: Record<string, unknown> | undefined
  readonly #toolCalls = new Map<number, Record<string, unknown>>()
  readonly #callPlaces = new CallPlaces()

  add(choice: Readonly<Record<string, unknown>>): void {
    if (typeof choice['finish_reason'] === 'string') this.finishReason = choice['finish_reason']
    if (isFields(choice['logprobs'])) this.#addLogprobs(choice['logprobs'])
    if (isFields(choice['delta'])) this.#addDelta(choice['delta'])
  }

  message(): AssistantMessage {
    return assistantMessage({
      content: this.#content,
      refusal: this.#refusal,
      tool_calls: [...this.#toolCalls].sort(([a], [b]) => a - b).map(([, call]) => call),
      function_call: this.#functionCall,
    })
  }

  #addDelta(delta: Readonly<Record<string, unknown>>): void {
    this.isStarted = true
    const said = saidText(delta['content'])
    if (said !== undefined) this.#content = (this.#content ?? '') + said
    if (typeof delta['refusal'] === 'string') this.#refusal = (this.#refusal ?? '') + delta['refusal']
    if (isFields(delta['function_call']))
      this.#functionCall = merge(this.#functionCall, delta['function_call'])
    if (!Array.isArray(delta['tool_calls'])) return
    for (const part of delta['tool_calls'].filter(isFields)) {
      const { index: _, ...rest } = part
      const at = this.#callPlaces.of(part)
      this.#toolCalls.set(at, merge(this.#toolCalls.get(at), rest))
    }
  }

  #addLogprobs(logprobs: Readonly<Record<string, unknown>>): void {
    const joined: Record<string, unknown[]> = this.logprobs ?? {}
    for (const [name, tokens] of Object.entries(logprobs)) {
      if (!Array.isArray(tokens)) continue
      const known = joined[name] ?? []
      for (const token of tokens) known.push(token)
      joined[name] = known
    }
    this.logprobs = joined
  }
}

/** Joins a delta to what came before: `arguments` and the `input` of a custom tool grow, nested objects merge, anything else is replaced. */
function merge(
  before: Record<string, unknown> | undefined,
  delta: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const joined = { ...before }
  for (const [name, value] of Object.entries(delta)) {
    const old = joined[name]
    if ((name === 'arguments' || name === 'input') && typeof value === 'string' && typeof old === 'string')
      joined[name] = old + value
    else if (isFields(value)) joined[name] = merge(isFields(old) ? { ...old } : undefined, value)
    else if (value !== null) joined[name] = value
  }
  return joined
}
