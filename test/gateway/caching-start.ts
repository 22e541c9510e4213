import { expect } from 'vitest'
import { countOf } from '../harness/rows.ts'
import type { RawReply, Running, RunningOptions } from './running.ts'
import { startGateway } from './running.ts'
import { type Answer, eventStream, startUpstream, type Upstream } from './upstream.ts'
import { chunk, done, usageChunk } from './wire.ts'

export interface Caching {
  readonly running: Running
  readonly upstream: Upstream
  /** What was asked of the provider so far, embeddings aside. */
  readonly asked: () => number
}

/** A provider that never says the same twice; its replies cost 7 input tokens and 3 output tokens. */
export function novelist(): Answer {
  let count = 0
  return (reply, { text }) => {
    const request = JSON.parse(text) as { stream?: boolean; input?: unknown }
    if (request.input !== undefined) {
      const data = [{ object: 'embedding', index: 0, embedding: directionOf(String(request.input)) }]
      reply.head(200, { 'content-type': 'application/json' })
      const usage = { prompt_tokens: 2, total_tokens: 2 }
      return reply.end(JSON.stringify({ object: 'list', data, model: 'embedder', usage }))
    }
    const content = `novel ${++count}`
    if (request.stream !== true) {
      reply.head(200, { 'content-type': 'application/json' })
      return reply.end(JSON.stringify(completionOf(content)))
    }
    reply.head(200, eventStream)
    const [first = '', second = ''] = content.split(/(?= )/)
    const events = [
      chunk({ role: 'assistant', content: '' }),
      chunk({ content: first }),
      chunk({ content: second }),
      chunk({}, { finish: 'stop' }),
      usageChunk(7, 3),
      done,
    ]
    return reply.end(events.join(''))
  }
}

export function completionOf(content: string, more: Record<string, unknown> = {}) {
  return {
    id: 'chatcmpl-n',
    object: 'chat.completion',
    created: 1_760_000_000,
    model: 'gpt-test-2026',
    choices: [{ index: 0, message: { role: 'assistant', content }, logprobs: null, finish_reason: 'stop' }],
    usage: {
      prompt_tokens: 7,
      completion_tokens: 3,
      total_tokens: 10,
      prompt_tokens_details: { cached_tokens: 4 },
    },
    system_fingerprint: 'fp_1',
    ...more,
  }
}

/** A vector in which words weigh: sentences of the same words lie in the same direction, whatever their order. */
function directionOf(text: string): number[] {
  const vector = new Array<number>(16).fill(0)
  for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) {
    let place = 0
    for (const letter of word) place = (place * 31 + (letter.codePointAt(0) ?? 0)) % vector.length
    vector[place] = (vector[place] ?? 0) + 1
  }
  return vector
}

export const semantic = { cacheMode: 'semantic', cache: { embeddings: 'test/embedder' } }
export const exact = { cacheMode: 'exact' }

export async function startCaching(
  config: Record<string, unknown> = exact,
  options: RunningOptions = {},
): Promise<Caching> {
  const upstream = options.upstream ?? (await startUpstream(novelist()))
  const running = await startGateway({ upstream, ...options, config: { ...config, ...options.config } })
  const asked = () => upstream.journal.filter(({ path }) => !path.endsWith('/embeddings')).length
  return { running, upstream, asked }
}

/** Waits for as many answers to be kept: that is done behind the reply, and only whoever asks the very same waits for it. */
export async function kept({ stele }: Running, count = 1): Promise<void> {
  await expect.poll(() => countOf(stele, 'cache_entries')).toBe(count)
}

/** What a reply says. */
export function saidIn({ text, status }: RawReply): string {
  if (status !== 200) throw new Error(text)
  const { choices } = JSON.parse(text) as { choices: { message: { content: string } }[] }
  return choices[0]?.message.content ?? ''
}

/** How it came by its reply, without the age. */
export function cacheOf({ headers }: RawReply): string | undefined {
  return String(headers['x-stele-cache'] ?? '').split(';')[0] || undefined
}
