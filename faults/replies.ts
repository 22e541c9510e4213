import { done, event } from '../test/gateway/wire.ts'
import { completion } from '../test/harness/chat.ts'
import { replyTokensOf } from './marks.ts'
import { randomOf } from './random.ts'
import { textOf } from './texts.ts'

/** A reply as the stand-in provider writes it. */
export interface Reply {
  readonly contentType: string
  readonly text: string
  readonly inputTokens: number
  readonly outputTokens: number
}

/** What the answer to a question says: its mark, so that every journal can tell, and as many words as the mark asks for. */
export function contentOf(mark: string): string {
  return `answer to ${mark}: ${textOf(randomOf(mark, 'answer'), replyTokensOf(mark))}`
}

const wordsPerEvent = 6

/** The whole answer to a request, as JSON or as the events of a stream. It says which of the answers to this question it is. */
export function replyTo(mark: string, time: number, request: string): Reply {
  const model = `${/"model": ?"([^"]*)"/.exec(request)?.[1] ?? 'unknown'}-2026`
  const [inputTokens, outputTokens] = [Math.ceil(request.length / 4), replyTokensOf(mark)]
  const usage = {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  }
  const content = contentOf(mark)
  const id = `chatcmpl-${mark}-${time}`
  if (!asksForStream(request)) {
    const text = JSON.stringify(completion(content, { id, model, usage }))
    return { contentType: 'application/json', text, inputTokens, outputTokens }
  }
  const chunk = (choices: readonly unknown[], more: object = {}): string =>
    event({ id, object: 'chat.completion.chunk', created: 1_760_000_000, model, choices, ...more })
  const delta = (said: object, finish: string | null = null): string =>
    chunk([{ index: 0, delta: said, logprobs: null, finish_reason: finish }])
  const events = [
    delta({ role: 'assistant', content: '' }),
    ...pieces(content).map(piece => delta({ content: piece })),
    delta({}, 'stop'),
    chunk([], { usage }),
    done,
  ]
  return { contentType: 'text/event-stream; charset=utf-8', text: events.join(''), inputTokens, outputTokens }
}

function asksForStream(request: string): boolean {
  return /"stream": ?true/.test(request)
}

/** What of a stream reaches a client that did not ask for its usage. */
export function withoutUsage(stream: string): string {
  return stream
    .split('\n\n')
    .filter(text => !text.includes('"choices":[],"usage"'))
    .join('\n\n')
}

function pieces(content: string): string[] {
  const words = content.split(' ').map((word, index) => (index === 0 ? word : ` ${word}`))
  return Array.from({ length: Math.ceil(words.length / wordsPerEvent) }, (_, index) =>
    words.slice(index * wordsPerEvent, (index + 1) * wordsPerEvent).join(''),
  )
}
