/** What providers put on the wire, in the spelling of OpenAI's own. */

export const questionOf = (content: unknown, parameters: Record<string, unknown> = {}) => ({
  model: 'gpt-test',
  messages: [{ role: 'user' as const, content: content as string }],
  ...parameters,
})

export interface ChunkOptions {
  readonly index?: number
  readonly finish?: string | null
  readonly id?: string
}

export function chunk(
  delta: Record<string, unknown>,
  { index = 0, finish = null, id = 'chatcmpl-s' }: ChunkOptions = {},
): string {
  return event({ ...chunkHead(id), choices: [{ index, delta, logprobs: null, finish_reason: finish }] })
}

export function usageChunk(prompt: number, completion: number, id = 'chatcmpl-s'): string {
  const usage = { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion }
  return event({ ...chunkHead(id), choices: [], usage })
}

const chunkHead = (id: string) => ({
  id,
  object: 'chat.completion.chunk',
  created: 1_760_000_000,
  model: 'gpt-test-2026',
})

export function event(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`
}

export const done = 'data: [DONE]\n\n'

/** The events of a whole answer: its words, why it ended, its usage, the end. */
export function answerEvents(words: readonly string[]): string[] {
  return [
    chunk({ role: 'assistant', content: '' }),
    ...words.map(content => chunk({ content })),
    chunk({}, { finish: 'stop' }),
    usageChunk(7, words.length),
    done,
  ]
}

/** OpenAI's error body. */
export function openAiError(message: string, code: string | null = null): Record<string, unknown> {
  return { error: { message, type: 'some_error', param: null, code } }
}
