import { newId } from '../ids.ts'
import { inTime } from '../in-time.ts'
import { encodeContent } from '../privacy/content.ts'
import { type Actor, actorText, operator } from '../store/audit-events.ts'
import {
  type CacheStats,
  cacheEntryStore,
  type EntryName,
  type FoundEntry,
  vectorBytes,
} from '../store/cache-entries.ts'
import { promptly, type Store } from '../store/contents.ts'
import type { EntryKey } from './entry-key.ts'
import { type CacheLimits, defaultCacheLimits } from './limits.ts'
import type { DoCacheStep, EntryFilter, EntryUse } from './steps.ts'
import { VectorIndex } from './vector-index.ts'

interface CacheParts {
  readonly database: Store
  readonly doStep: DoCacheStep
  readonly limits?: Partial<CacheLimits> | undefined
  /** Told what went wrong: nobody else is. */
  readonly onError?: ((error: unknown) => void) | undefined
  /** Milliseconds since 1970; the clock when left out. */
  readonly now?: (() => number) | undefined
}

/** An answer to be kept, and to which call it was given first. */
export interface KeptAnswer {
  readonly key: EntryKey
  readonly text: string
  /** Of what the user says last: of length 1. */
  readonly vector: Float32Array | undefined
  readonly callId: string
  readonly apiKeyId: string | undefined
  /** Milliseconds for which it may be given again. */
  readonly ttl: number
}

export interface SemanticQuery {
  readonly vector: Float32Array
  /** The cosine from which on two things said count as the same. */
  readonly threshold: number
}

/** Milliseconds that a look-up may take: an answer that comes later is asked for instead. */
const lookupTime = 1_000

/** How often uses are noted, in milliseconds, and after how many times what there is too much of goes. */
const upkeepInterval = 10_000
const sweepEvery = 6

/** Uses that are kept in mind until then. */
const maxUses = 10_000
const usesAtATime = 500

/** Milliseconds after which a context's vectors go when nobody uses them. */
const idleTime = 60_000

/**
 * Answers that may be given again: found by the request, or by what it means. Nothing here fails a call: what goes wrong is
 * told to `onError`, and the answer counts as not there.
 */
export class AnswerCache {
  readonly #parts: CacheParts
  readonly #limits: CacheLimits
  readonly #now: () => number
  readonly #entries: ReturnType<typeof cacheEntryStore>
  readonly #index: VectorIndex
  readonly #flights = new Map<string, Promise<void>>()
  readonly #uses = new Map<string, EntryUse>()
  readonly #writing = new Set<Promise<void>>()
  /** What there may be by now, as far as this process knows. */
  #entryCount = 0
  #byteCount = 0
  #sweeping: Promise<void> | undefined
  #upkeep: NodeJS.Timeout | undefined

  constructor(parts: CacheParts) {
    this.#parts = parts
    this.#limits = { ...defaultCacheLimits, ...parts.limits }
    this.#now = parts.now ?? Date.now
    this.#entries = cacheEntryStore(promptly(parts.database))
    const { candidates, maxVectorBytes: maxBytes } = this.#limits
    this.#index = new VectorIndex({ entries: this.#entries, candidates, maxBytes, idleTime })
  }

  /** Bytes of vectors that this process holds. */
  get vectorBytes(): number {
    return this.#index.bytes
  }

  /** How long ago something was made, in whole seconds. */
  ageOf({ createdAt }: Pick<FoundEntry, 'createdAt'>): number {
    return Math.max(0, Math.floor((this.#now() - createdAt) / 1000))
  }

  /** The answer to the very same request. @param maxAge milliseconds; any when left out */
  exact(key: EntryKey, { maxAge }: { maxAge?: number | undefined } = {}): Promise<FoundEntry | undefined> {
    return this.#quietly(() => this.#entries.exact(key.place, key.entryHash, this.#times(maxAge)))
  }

  /** The answer to a request that is the same but for what is said last, if that means the same. */
  similar(
    { place, context }: EntryKey,
    { vector, threshold }: SemanticQuery,
    { maxAge }: { maxAge?: number | undefined } = {},
  ): Promise<(FoundEntry & { readonly similarity: number }) | undefined> {
    return this.#quietly(async () => {
      if (context === undefined) return undefined
      const times = this.#times(maxAge)
      const nearest = await this.#index.nearest(place, context.hash, vector, times)
      if (nearest === undefined || nearest.similarity < threshold) return undefined
      const found = await this.#entries.named(place, nearest.name, times.now)
      return found && { ...found, similarity: nearest.similarity }
    })
  }

  /** Notes that an answer was given. It is written later, with others. */
  used({ user_id: userId, id }: EntryName): void {
    const known = this.#uses.get(id)
    if (known === undefined && this.#uses.size >= maxUses) return
    this.#uses.set(id, { userId, id, hits: (known?.hits ?? 0) + 1, at: this.#now() })
    this.#startUpkeep()
  }

  /**
   * Whoever asks the same through this process already: `others` ends when their answer can be found, or there is none. When
   * nobody does the caller is the one, for whom others wait until `end`.
   */
  flight({ entryHash }: EntryKey): { readonly others: Promise<void> | undefined; readonly end: () => void } {
    const others = this.#flights.get(entryHash)
    if (others !== undefined) return { others, end: () => undefined }
    const own = Promise.withResolvers<void>()
    this.#flights.set(entryHash, own.promise)
    const end = (): void => {
      if (this.#flights.get(entryHash) === own.promise) this.#flights.delete(entryHash)
      own.resolve()
    }
    return { others: undefined, end }
  }

  /** Keeps an answer. Resolves when it can be found, or will not be. */
  keep({ key, text, vector, callId, apiKeyId, ttl }: KeptAnswer): Promise<void> {
    const { place, context, entryHash, provider, model } = key
    const response = encodeContent(text)
    const embedding = vector === undefined ? null : encodeContent(vectorBytes(vector))
    const bytes = response.byteLength + (embedding?.byteLength ?? 0)
    if (bytes > this.#limits.maxEntryBytes) return Promise.resolve()
    const now = this.#now()
    const row = {
      user_id: place.userId,
      id: newId('cacheEntry'),
      partition_key: place.partition,
      entry_hash: entryHash,
      context_hash: vector === undefined ? null : (context?.hash ?? null),
      call_id: callId,
      provider,
      model,
      bytes,
      hits: 0,
      created_at: now,
      last_used_at: now,
      expires_at: now + ttl,
      response,
      embedding,
    }
    const write = async (): Promise<void> => {
      try {
        await this.#parts.doStep({ kind: 'put', entry: { row, apiKeyId } })
        this.#entryCount += 1
        this.#byteCount += bytes
        const { maxEntries, maxBytes } = this.#limits
        if (this.#entryCount > maxEntries || this.#byteCount > maxBytes) await this.sweep()
      } catch (error) {
        this.#parts.onError?.(error)
      }
    }
    const written = write()
    this.#writing.add(written)
    this.#startUpkeep()
    return written.finally(() => this.#writing.delete(written))
  }

  /** Removes entries. Returns how many there were. */
  async clear(filter: EntryFilter = {}, by: Actor = operator): Promise<number> {
    let count = 0
    for (let isMore = true; isMore; ) {
      const step = await this.#parts.doStep({ kind: 'clear', filter, by: actorText(by), at: this.#now() })
      count += step.removed
      isMore = step.isMore
    }
    return count
  }

  /** What there is: of one user's calls, or of all. */
  stats({ userId }: { userId?: string | undefined } = {}): Promise<CacheStats> {
    return this.#entries.stats(userId)
  }

  /** Forgets what this process holds in memory of entries that a user's calls have made. */
  forget(userId: string): void {
    this.#index.forget(userId)
    for (const use of this.#uses.values()) if (use.userId === userId) this.#uses.delete(use.id)
  }

  /** Lets go what has expired, and what was used longest ago as long as there is too much. */
  sweep(): Promise<void> {
    this.#sweeping ??= this.#sweep().finally(() => {
      this.#sweeping = undefined
    })
    return this.#sweeping
  }

  /** Writes what was used, so that it stays. @throws whatever keeps the database from working */
  async noteUses(): Promise<void> {
    while (this.#uses.size > 0) {
      const uses = [...this.#uses.values()].slice(0, usesAtATime)
      for (const { id } of uses) this.#uses.delete(id)
      await this.#parts.doStep({ kind: 'use', uses })
    }
  }

  /** Waits for what is being written. */
  async close(): Promise<void> {
    clearInterval(this.#upkeep)
    this.#index.close()
    await Promise.all(this.#writing)
    await this.#sweeping
    await inTime(this.noteUses(), lookupTime).catch(error => this.#parts.onError?.(error))
  }

  async #sweep(): Promise<void> {
    const { maxEntries, maxBytes } = this.#limits
    for (let isMore = true; isMore; ) {
      const step = await this.#parts.doStep({ kind: 'sweep', now: this.#now(), maxEntries, maxBytes })
      isMore = step.isMore
      this.#entryCount = step.entries
      this.#byteCount = step.bytes
    }
  }

  #startUpkeep(): void {
    let rounds = 0
    this.#upkeep ??= setInterval(() => {
      this.noteUses()
        .then(() => (++rounds % sweepEvery === 0 ? this.sweep() : undefined))
        .catch(error => this.#parts.onError?.(error))
    }, upkeepInterval).unref()
  }

  #times(maxAge: number | undefined): { now: number; since: number } {
    const now = this.#now()
    return { now, since: maxAge === undefined ? 0 : now - maxAge }
  }

  async #quietly<T>(look: () => Promise<T | undefined>): Promise<T | undefined> {
    try {
      return await inTime(look(), lookupTime)
    } catch (error) {
      this.#parts.onError?.(error)
      return undefined
    }
  }
}
