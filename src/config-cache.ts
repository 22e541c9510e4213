import { z } from 'zod'
import { defaultCacheLimits } from './cache/limits.ts'
import { partitionName } from './model/caching.ts'

const partition = z.string().regex(partitionName, "lower-case letters, digits, _ and - only, and not 'user'")

/** What of the cache is set beside when it is used and for how long, which stands with the other settings. */
export const cache = z
  .strictObject({
    /** Partitions that several users may share, each by name. */
    partitions: z.array(partition).default([]),
    /** The one of them that answers are in whose key and request name none; each user's own when left out. */
    partition: partition.optional(),
    maxEntries: z.int().positive().default(defaultCacheLimits.maxEntries),
    maxBytes: z.int().positive().default(defaultCacheLimits.maxBytes),
    maxEntryBytes: z.int().positive().default(defaultCacheLimits.maxEntryBytes),
    /** The model that tells what two things said have in common, as clients would name it. */
    embeddings: z.string().min(1).optional(),
    /** Seconds that it may take; after them the model is asked that the request is for. */
    embeddingsTimeout: z.number().positive().max(300).default(5),
    /** The cosine from which on two things said count as the same. */
    threshold: z.number().min(0.5).max(1).default(0.95),
    candidates: z.int().positive().max(100_000).default(defaultCacheLimits.candidates),
    maxVectorBytes: z.int().positive().default(defaultCacheLimits.maxVectorBytes),
  })
  .superRefine(({ partition: one, partitions }, context) => {
    if (one !== undefined && !partitions.includes(one))
      context.addIssue({ code: 'custom', path: ['partition'], message: 'it is none of the partitions' })
  })

export type CacheConfig = z.infer<typeof cache>
