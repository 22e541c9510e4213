import { z } from 'zod'
import { compressionNames } from '../../compression/levels.ts'
import type { ContentMode } from '../../db/batch.ts'
import { cacheModes, partitionName } from '../../model/caching.ts'
import { contentModes } from '../../privacy/sealed-content.ts'
import type { KeySettings } from '../../store/api-keys.ts'

/** What may be said of what a key demands of its requests: what is left out stays as it is, null takes it away. */
export const settingsChange = {
  masking: z.object({ before_llm: z.boolean().optional(), in_storage: z.boolean().optional() }).nullish(),
  cache: z.enum(cacheModes).nullish(),
  cache_partition: z.string().regex(partitionName, 'it is no name of a partition').nullish(),
  compression: z.enum(compressionNames).nullish(),
}

/** The same of a key that is made: how what is said with it is kept is settled then. */
export const settingsOfNew = { ...settingsChange, content_mode: z.enum(contentModes).nullish() }

type Change = z.infer<z.ZodObject<typeof settingsOfNew>>

/** What a key demands once that is said. */
export function changedSettings(before: KeySettings, change: Change): KeySettings {
  const { masking, cache, cache_partition: partition } = change
  const { beforeLlm = false, inStorage = false } = before.masking ?? {}
  return {
    contentMode: said(change.content_mode, before.contentMode),
    masking:
      masking === undefined
        ? before.masking
        : {
            beforeLlm: masking?.before_llm ?? (masking !== null && beforeLlm),
            inStorage: masking?.in_storage ?? (masking !== null && inStorage),
          },
    cache: { mode: said(cache, before.cache?.mode), partition: said(partition, before.cache?.partition) },
    compression: said(change.compression, before.compression),
  }
}

function said<T>(now: T | null | undefined, before: T | undefined): T | undefined {
  return now === undefined ? before : (now ?? undefined)
}

/** From the least to the most careful. */
const care: readonly ContentMode[] = ['plain', 'encrypted', 'hashed']

/**
 * Whether less is demanded than before of what protects somebody: masking, how what is said is kept, and a cache that is off.
 * Without a mode of its own a key keeps what is said as its user or the store says, which may be as carefully as can be.
 */
export function demandsLess(now: KeySettings, before: KeySettings): boolean {
  const mode = now.contentMode === undefined ? -1 : care.indexOf(now.contentMode)
  const keptBefore = before.contentMode ?? (now.contentMode === undefined ? undefined : 'hashed')
  return (
    (before.masking?.beforeLlm === true && now.masking?.beforeLlm !== true) ||
    (before.masking?.inStorage === true && now.masking?.inStorage !== true) ||
    (before.cache?.mode === 'off' && now.cache?.mode !== 'off') ||
    (keptBefore !== undefined && keptBefore !== 'plain' && mode < care.indexOf(keptBefore))
  )
}

/** What a key demands, as it is told. */
export function settingsObject({ contentMode, masking, cache, compression }: KeySettings): object {
  return {
    content_mode: contentMode ?? null,
    masking: { before_llm: masking?.beforeLlm === true, in_storage: masking?.inStorage === true },
    cache: cache?.mode ?? null,
    cache_partition: cache?.partition ?? null,
    compression: compression ?? null,
  }
}
