import type { CachePlace, cacheEntryStore, EntryName, FoundVector } from '../store/cache-entries.ts'

type Entries = Pick<ReturnType<typeof cacheEntryStore>, 'inContext' | 'vectors'>

export interface Nearest {
  readonly name: EntryName
  /** The cosine of the angle between the two, 1 at most. */
  readonly similarity: number
}

export interface VectorIndexOptions {
  readonly entries: Entries
  /** Of one context, so many of the newest entries are looked at. */
  readonly candidates: number
  /** Bytes of vectors that are held; those of contexts that were used longest ago go first. */
  readonly maxBytes: number
  /** Milliseconds after which the vectors of a context that nobody uses go. */
  readonly idleTime: number
}

interface Held {
  readonly vectors: Map<string, FoundVector>
  bytes: number
  usedAt: number
}

/**
 * Finds the entry whose vector is nearest. Vectors are content, encrypted where they are stored, so no database can compare
 * them: those of a context are read once and held in memory. Which entries there are is asked every time, so one that is
 * gone, for whatever reason and through whichever process, is neither found nor held from the next search on.
 */
export class VectorIndex {
  readonly #options: VectorIndexOptions
  /** By context, the one used last at the end. */
  readonly #held = new Map<string, Held>()
  #bytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: VectorIndexOptions) {
    this.#options = options
  }

  /** Bytes of vectors that are held now. */
  get bytes(): number {
    return this.#bytes
  }

  async nearest(
    place: CachePlace,
    contextHash: string,
    vector: Float32Array,
    times: { readonly now: number; readonly since: number },
  ): Promise<Nearest | undefined> {
    const { entries, candidates } = this.#options
    const names = await entries.inContext(place, contextHash, { ...times, limit: candidates })
    const { vectors } = await this.#vectorsOf(contextHash, names)
    let best: Nearest | undefined
    for (const { name, vector: known } of vectors.values()) {
      const similarity = known.length === vector.length ? dot(known, vector) : 0
      if (best === undefined || similarity > best.similarity) best = { name, similarity }
    }
    return best
  }

  /** Holds nothing any more of entries that a user's calls have made. */
  forget(userId: string): void {
    for (const [contextHash, held] of this.#held) {
      for (const { name } of held.vectors.values()) if (name.user_id === userId) this.#drop(held, name)
      if (held.vectors.size === 0) this.#held.delete(contextHash)
    }
  }

  close(): void {
    clearInterval(this.#timer)
    this.#held.clear()
    this.#bytes = 0
  }

  async #vectorsOf(contextHash: string, names: readonly EntryName[]): Promise<Held> {
    const before = this.#held.get(contextHash)
    const missing = names.filter(({ id }) => before?.vectors.has(id) !== true)
    const read = missing.length === 0 ? [] : await this.#options.entries.vectors(missing)
    // Another search may have read them meanwhile.
    const held = this.#held.get(contextHash) ?? { vectors: new Map(), bytes: 0, usedAt: 0 }
    const there = new Set(names.map(({ id }) => id))
    for (const { name } of held.vectors.values()) if (!there.has(name.id)) this.#drop(held, name)
    for (const found of read) if (!held.vectors.has(found.name.id)) this.#hold(held, found)
    held.usedAt = performance.now()
    this.#held.delete(contextHash)
    this.#held.set(contextHash, held)
    this.#makeRoom()
    return held
  }

  #hold(held: Held, { name, vector }: FoundVector): void {
    held.vectors.set(name.id, { name, vector })
    held.bytes += vector.byteLength
    this.#bytes += vector.byteLength
    this.#timer ??= setInterval(() => this.#letIdleGo(), this.#options.idleTime).unref()
  }

  #drop(held: Held, { id }: EntryName): void {
    const bytes = held.vectors.get(id)?.vector.byteLength ?? 0
    held.vectors.delete(id)
    held.bytes -= bytes
    this.#bytes -= bytes
  }

  #letGo(contextHash: string, held: Held): void {
    this.#held.delete(contextHash)
    this.#bytes -= held.bytes
  }

  #makeRoom(): void {
    for (const [contextHash, held] of this.#held) {
      if (this.#bytes <= this.#options.maxBytes) return
      this.#letGo(contextHash, held)
    }
  }

  #letIdleGo(): void {
    const since = performance.now() - this.#options.idleTime
    for (const [contextHash, held] of this.#held) if (held.usedAt < since) this.#letGo(contextHash, held)
    if (this.#held.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

/** The same direction at the length 1; undefined of one that has no direction. */
export function normalized(vector: readonly number[]): Float32Array | undefined {
  const length = Math.hypot(...vector)
  if (vector.length === 0 || !Number.isFinite(length) || length === 0) return undefined
  return Float32Array.from(vector, value => value / length)
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0)
  return sum
}
