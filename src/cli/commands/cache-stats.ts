import { type GlobalOptions, withStele } from '../open-store.ts'
import { write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { formatFacts } from '../table.ts'
import { timeText } from '../values.ts'

export interface CacheStatsOptions extends GlobalOptions {
  readonly user?: string
  readonly json?: boolean
}

/** Shows what there is in the cache. */
export async function cacheStats({ user: userId, json, ...options }: CacheStatsOptions): Promise<void> {
  const stats = await withStele(options, ({ cache }) => cache.stats({ userId }))
  if (json === true) return writeJson(toRecord(stats))
  const { entries, semantic, bytes, hits, oldestAt, newestAt } = stats
  const facts: [string, string][] = [
    ['entries', String(entries)],
    ['found by meaning', String(semantic)],
    ['bytes', String(bytes)],
    ['times given', String(hits)],
    ['oldest', timeText(oldestAt)],
    ['newest', timeText(newestAt)],
  ]
  await write(`${formatFacts(facts)}\n`)
}
