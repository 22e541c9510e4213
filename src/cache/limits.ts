import type { CacheBounds } from './steps.ts'

export interface CacheLimits extends CacheBounds {
  /** Bytes of one reply: a longer one is not kept. */
  readonly maxEntryBytes: number
  /** Of a context, so many of the newest entries are compared by meaning. */
  readonly candidates: number
  /** Bytes of vectors that this process holds in memory. */
  readonly maxVectorBytes: number
}

export const defaultCacheLimits: CacheLimits = {
  maxEntries: 10_000,
  maxBytes: 256 * 1024 * 1024,
  maxEntryBytes: 1024 * 1024,
  candidates: 1_000,
  maxVectorBytes: 64 * 1024 * 1024,
}
