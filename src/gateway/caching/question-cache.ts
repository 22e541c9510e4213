import { type EntryKey, entryKey } from '../../cache/entry-key.ts'
import { isStreamable, keptReply } from '../../cache/kept-reply.ts'
import type { ContentMode } from '../../db/batch.ts'
import { unlessAborted } from '../../in-time.ts'
import type { CacheHit, Outcome } from '../../model/call.ts'
import { isEventStream } from '../../providers/provider.ts'
import type { Target } from '../../providers/registry.ts'
import type { FoundEntry } from '../../store/cache-entries.ts'
import type { AnsweredCall, CachedAnswers, Question } from '../attempts.ts'
import type { Client } from '../client.ts'
import type { GatewayRequest } from '../gateway-request.ts'
import type { Masking } from '../masking/masking.ts'
import type { AnsweringParts } from '../routes/answering.ts'
import type { CachePolicy } from './cache-policy.ts'
import { embed } from './embed.ts'
import { relayCached } from './relay-cached.ts'

interface Handling {
  readonly policy: CachePolicy
  readonly contentMode: ContentMode
  readonly masking: Masking | undefined
}

interface Hit {
  readonly entry: FoundEntry & { readonly similarity?: number }
  readonly hit: CacheHit
}

/** The cache for one question: looks for an answer first, keeps the one that is made. */
export class QuestionCache implements CachedAnswers {
  readonly #parts: AnsweringParts
  readonly #handling: Handling
  readonly #startedAt = performance.now()
  #question: Question | undefined
  #client: Client | undefined
  /** Of what the user says last; null when it was tried and there is none. */
  #vector: Float32Array | undefined | null
  #answered: AnsweredCall | undefined
  #endFlight: () => void = () => undefined

  constructor(parts: AnsweringParts, handling: Handling) {
    this.#parts = parts
    this.#handling = handling
  }

  async answer(question: Question, client: Client): Promise<boolean> {
    this.#question = question
    this.#client = client
    const [target] = question.targets
    if (target === undefined) return false
    const { forTarget } = question.request
    const request = forTarget === undefined ? question.request : await forTarget(target)
    const key = this.#keyOf(question, target, request)
    if (key === undefined) return false
    client.header('x-stele-cache', 'miss')
    if (!this.#handling.policy.looksUp) return false
    const found = await this.#find(key)
    if (found === undefined || client.signal.aborted) return false
    if (request.stream && operationOf(request) === 'chat' && !isStreamable(found.entry.text)) return false
    const { cache } = this.#parts.stele
    const isGiven = await relayCached(
      {
        recorder: this.#parts.stele.recorder,
        telemetry: this.#parts.state.telemetry,
        ...found,
        age: cache.ageOf(found.entry),
      },
      { question, target, request, operation: operationOf(request), startedAt: this.#startedAt },
      client,
    )
    if (isGiven) cache.used(found.entry.name)
    return isGiven
  }

  completed(answered: AnsweredCall): void {
    this.#answered = answered
  }

  release(): void {
    // Behind the reply: nobody who waits for it waits for this.
    void this.#keep()
      .catch(error => this.#client?.log.warn({ err: error }, 'an answer is not cached'))
      .finally(this.#endFlight)
  }

  async #find(key: EntryKey): Promise<Hit | undefined> {
    const { cache } = this.#parts.stele
    const { policy } = this.#handling
    const { cacheTtl } = this.#parts.settings
    // An answer was kept for as long as was said then; what is said now may be less.
    const within = { maxAge: Math.min(policy.maxAge ?? Number.POSITIVE_INFINITY, cacheTtl * 1000) }
    const exactly = async (): Promise<Hit | undefined> => {
      const entry = await cache.exact(key, within)
      return entry && { entry, hit: 'exact' }
    }
    const first = await exactly()
    if (first !== undefined) return first
    const { others, end } = cache.flight(key)
    this.#endFlight = end
    if (others !== undefined) {
      const { signal } = this.#client ?? {}
      await (signal === undefined ? others : unlessAborted(others, signal).catch(() => undefined))
      const theirs = await exactly()
      if (theirs !== undefined) return theirs
    }
    const vector = await this.#vectorOf(key)
    if (vector === undefined) return undefined
    const { threshold } = this.#parts.settings.cache
    const entry = await cache.similar(key, { vector, threshold }, within)
    return entry && { entry, hit: 'semantic' }
  }

  /** What the user says last, as a vector; asked for once. Undefined where meaning does not count, or nobody tells it. */
  async #vectorOf({ context }: EntryKey): Promise<Float32Array | undefined> {
    if (this.#vector !== undefined) return this.#vector ?? undefined
    this.#vector = null
    const { settings, providers } = this.#parts
    const { embeddings: model, embeddingsTimeout } = settings.cache
    const { policy, masking } = this.#handling
    const client = this.#client
    const question = this.#question
    if (policy.mode !== 'semantic' || context === undefined || model === undefined) return undefined
    if (client === undefined || question === undefined || client.signal.aborted) return undefined
    const { said } = context
    // Two people's data look alike where they are masked, and must not be told to a model where they are not.
    if (masking !== undefined && (await masking.masker.text(said)) !== said) return undefined
    try {
      const targets = providers.targets(model)
      const how = { model, targets, timeout: embeddingsTimeout * 1000 }
      const { userId, apiKeyId } = question
      const { log, signal } = client
      this.#vector = (await embed(this.#parts, how, { said, userId, apiKeyId, log, signal })) ?? null
    } catch (error) {
      client.log.warn({ err: error }, 'what was said is not compared with what was said before')
    }
    return this.#vector ?? undefined
  }

  async #keep(): Promise<void> {
    const question = this.#question
    if (this.#answered === undefined || question === undefined) return
    const { callId, target, request, outcome, kept } = this.#answered
    const { body } = outcome
    if (body === undefined || !isKeptAsItIs(outcome, kept)) return
    const key = this.#keyOf(question, target, request)
    const isStream = isEventStream(outcome.contentType ?? '')
    const text = key && keptReply(operationOf(request), { body, isStream })
    if (key === undefined || text === undefined) return
    const vector = await this.#vectorOf(key)
    const { apiKeyId } = question
    const ttl = this.#parts.settings.cacheTtl * 1000
    await this.#parts.stele.cache.keep({ key, text, vector, callId, apiKeyId, ttl })
  }

  #keyOf({ userId }: Question, { provider, model }: Target, request: GatewayRequest): EntryKey | undefined {
    const { policy, contentMode, masking } = this.#handling
    if (!isCacheable(request) || provider.answersFromRecord === true) return undefined
    const { beforeLlm = false, inStorage = false } = masking?.policy ?? {}
    const variant = `${contentMode} ${beforeLlm ? 'masked' : ''} ${inStorage ? 'masked' : ''} ${request.recording?.sent?.compression ?? ''}`
    const place = { userId, partition: policy.partition }
    // A provider of the same name that is elsewhere now is another.
    const asked = JSON.stringify([provider.name, provider.address ?? null])
    const keyed = { body: request.body, provider: provider.name, model, variant: `${variant} ${asked}` }
    return entryKey(this.#parts.stele.hashes, place, keyed, this.#parts.settings.cache.embeddings)
  }
}

/** Chats, and what is asked of chats in other words; embeddings. */
function isCacheable(request: GatewayRequest): boolean {
  const operation = operationOf(request)
  return operation === 'embeddings' || operation === 'chat'
}

function operationOf({ recording, body }: GatewayRequest): string {
  return recording?.operation ?? ('messages' in body ? 'chat' : body.operation)
}

/** A reply that is recorded masked is given again to nobody: what stood in it is not kept. */
function isKeptAsItIs({ body }: Outcome, { body: kept }: Outcome): boolean {
  if (body === kept) return true
  if (typeof body === 'string' || body === undefined || typeof kept === 'string' || kept === undefined)
    return false
  return Buffer.compare(body, kept) === 0
}
