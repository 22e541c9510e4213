import {
  type AssistantMessage,
  assistantMessage,
  isFields,
  type Reply,
  readUsage,
  type Usage,
} from './reply.ts'

/** Collects the chunks of a streamed chat completion into the reply they amount to. */
export class StreamedReply {
  #responseModel: string | undefined
  #providerResponseId: string | undefined
  #usage: Usage = {}
  #content: string | undefined
  #refusal: string | undefined
  #functionCall: Record<string, unknown> | undefined
  readonly #toolCalls = new Map<number, Record<string, unknown>>()
  readonly #finishReasons = new Map<number, string>()
  #isStarted = false

  /** Takes one `chat.completion.chunk` object. */
  add(chunk: Readonly<Record<string, unknown>>): void {
    if (typeof chunk['model'] === 'string') this.#responseModel = chunk['model']
    if (typeof chunk['id'] === 'string' && chunk['id'] !== '') this.#providerResponseId ??= chunk['id']
    if (isFields(chunk['usage'])) this.#usage = readUsage(chunk['usage'])
    const choices = Array.isArray(chunk['choices']) ? chunk['choices'].filter(isFields) : []
    for (const choice of choices) {
      const index = typeof choice['index'] === 'number' ? choice['index'] : 0
      if (typeof choice['finish_reason'] === 'string') this.#finishReasons.set(index, choice['finish_reason'])
      if (index === 0 && isFields(choice['delta'])) this.#addDelta(choice['delta'])
    }
  }

  /** True once every choice seen has said why it ended. */
  get isFinished(): boolean {
    return this.#finishReasons.size > 0
  }

  /** What has been received so far. */
  reply(): Reply {
    return {
      responseModel: this.#responseModel,
      providerResponseId: this.#providerResponseId,
      finishReasons: [...this.#finishReasons].sort(([a], [b]) => a - b).map(([, reason]) => reason),
      usage: this.#usage,
      message: this.#isStarted ? this.#message() : undefined,
    }
  }

  #addDelta(delta: Readonly<Record<string, unknown>>): void {
    this.#isStarted = true
    if (typeof delta['content'] === 'string') this.#content = (this.#content ?? '') + delta['content']
    if (typeof delta['refusal'] === 'string') this.#refusal = (this.#refusal ?? '') + delta['refusal']
    if (isFields(delta['function_call']))
      this.#functionCall = merge(this.#functionCall, delta['function_call'])
    if (!Array.isArray(delta['tool_calls'])) return
    for (const part of delta['tool_calls'].filter(isFields)) {
      const { index, ...rest } = part
      const at = typeof index === 'number' ? index : this.#toolCalls.size
      this.#toolCalls.set(at, merge(this.#toolCalls.get(at), rest))
    }
  }

  #message(): AssistantMessage {
    return assistantMessage({
      content: this.#content,
      refusal: this.#refusal,
      tool_calls: [...this.#toolCalls].sort(([a], [b]) => a - b).map(([, call]) => call),
      function_call: this.#functionCall,
    })
  }
}

/** Joins a delta to what came before: `arguments` grow, nested objects merge, anything else is replaced. */
function merge(
  before: Record<string, unknown> | undefined,
  delta: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const joined = { ...before }
  for (const [name, value] of Object.entries(delta)) {
    const old = joined[name]
    if (name === 'arguments' && typeof value === 'string' && typeof old === 'string')
      joined[name] = old + value
    else if (isFields(value)) joined[name] = merge(isFields(old) ? { ...old } : undefined, value)
    else if (value !== null) joined[name] = value
  }
  return joined
}
