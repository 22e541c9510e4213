import type { Row } from '../db/tables.ts'

/** An answer to be kept. */
export interface NewEntry {
  /** Its reply and what it is found by readable. */
  readonly row: Row<'cache_entries'>
  /** The API key with which it was asked for. */
  readonly apiKeyId: string | undefined
}

/** How often an entry was given, and when last. */
export interface EntryUse {
  readonly userId: string
  readonly id: string
  readonly hits: number
  /** Milliseconds since 1970, UTC. */
  readonly at: number
}

/** Which entries are meant: all, when nothing is said. */
export interface EntryFilter {
  /** Those that this user's calls have made, whoever is given them. */
  readonly userId?: string | undefined
  /** As the provider knows it. */
  readonly model?: string | undefined
}

/** How much there may be. */
export interface CacheBounds {
  readonly maxEntries: number
  /** Bytes of replies and embeddings. */
  readonly maxBytes: number
}

/** A change of the cache in a short transaction of its own. Plain data: it crosses to the writer thread. */
export type CacheStep =
  | { readonly kind: 'put'; readonly entry: NewEntry }
  | { readonly kind: 'use'; readonly uses: readonly EntryUse[] }
  /** `by` is who asks for it, as audit events name them. */
  | { readonly kind: 'clear'; readonly filter: EntryFilter; readonly by: string; readonly at: number }
  /** Removes some of what has expired at `now`, then of what was used longest ago as long as there is too much. */
  | ({ readonly kind: 'sweep'; readonly now: number } & CacheBounds)

export interface CacheStepResult {
  /** Entries removed. */
  readonly removed: number
  /** Whether the same step has more to remove. */
  readonly isMore: boolean
  /** Of a sweep: what there is now. */
  readonly entries: number
  readonly bytes: number
}

/** Does a step. Doing one again changes nothing more, but for `use`, which counts again. */
export type DoCacheStep = (step: CacheStep) => Promise<CacheStepResult>
