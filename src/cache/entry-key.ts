import { canonicalJson } from '../model/canonical.ts'
import type { ChatRequest } from '../model/chat-request.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import type { PlainRequest } from '../model/plain-request.ts'
import { deliveryOnly } from '../model/prepared-request.ts'
import { isFields } from '../model/reply.ts'
import type { CachePlace } from '../store/cache-entries.ts'

/** What an answer is found by. */
export interface EntryKey {
  readonly place: CachePlace
  readonly provider: string
  readonly model: string
  /** The same of the same request and of no other. */
  readonly entryHash: string
  /** What tells the request apart but for what the user says last; undefined where that is not words alone. */
  readonly context: { readonly hash: string; readonly said: string } | undefined
}

/** A request as far as an answer to it depends on it. */
export interface KeyedRequest {
  readonly body: ChatRequest | PlainRequest
  readonly provider: string
  /** As the provider knows it. */
  readonly model: string
  /** What else an answer must not cross: how content is kept, how it is masked, what is done to a prompt. */
  readonly variant: string
}

/** Parameters that say how an answer is delivered, filed or paid for. Every other one, known or not, tells requests apart. */
const tellsNothing: ReadonlySet<string> = new Set([
  ...deliveryOnly,
  'prompt_cache_key',
  'prompt_cache_retention',
])

/**
 * What the answer to a request is found by; undefined when two different requests could look the same, which they do when
 * a number in them is larger than JavaScript can tell from its neighbours.
 * @param embeddings what vectors are made with: those of different models have nothing to do with each other
 */
export function entryKey(
  hashes: ConversationHashes,
  place: CachePlace,
  { body, provider, model, variant }: KeyedRequest,
  embeddings?: string,
): EntryKey | undefined {
  const parameters = Object.entries(body.value).filter(
    ([name, value]) => !tellsNothing.has(name) && value !== null,
  )
  const isChat = 'messages' in body
  const messages = isChat ? [...(body.preface ?? []), ...body.messages].map(({ value }) => value) : []
  if (!isExact(parameters) || !isExact(messages)) return undefined
  const whose = place.partition === '' ? ['user', place.userId] : ['shared', place.partition]
  const operation = isChat ? 'chat' : body.operation
  const scope = [...whose, variant, provider, model, operation, Object.fromEntries(parameters)]
  const said = isChat ? saidLast(body) : undefined
  const hash = (...parts: readonly unknown[]): string => hashes.cacheEntry(canonicalJson(parts))
  return {
    place,
    provider,
    model,
    entryHash: hash('entry', scope, messages),
    context:
      said === undefined
        ? undefined
        : { hash: hash('context', scope, messages.slice(0, -1), embeddings, numbersIn(said)), said },
  }
}

/** What the user says last, when that is the last message and words alone. */
function saidLast({ messages }: ChatRequest): string | undefined {
  const last = messages.at(-1)?.value
  if (last === undefined || last['role'] !== 'user') return undefined
  const { role: _, content, ...more } = last
  // A name, say, is no part of the words, so it would not count.
  if (Object.keys(more).length > 0) return undefined
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : content
  if (!Array.isArray(parts)) return undefined
  const texts = parts.map(part =>
    isFields(part) && part['type'] === 'text' && Object.keys(part).length === 2 ? part['text'] : undefined,
  )
  if (!texts.every(text => typeof text === 'string')) return undefined
  const said = texts.join('\n')
  return said.trim() === '' ? undefined : said
}

/**
 * The numbers in what is said, in their order. To a model of meaning what was earned in 2023 is next to what was earned in 2024,
 * but what is answered to the one is wrong for the other.
 */
function numbersIn(said: string): readonly string[] {
  return said.match(/\p{N}+(?:[.,:/]\p{N}+)*/gu) ?? []
}

function isExact(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isInteger(value) || Number.isSafeInteger(value)
  if (value === null || typeof value !== 'object') return true
  return Object.values(value).every(isExact)
}
