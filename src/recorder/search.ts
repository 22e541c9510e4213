import type { Database } from '../db/database.ts'
import { SteleError } from '../errors.ts'
import type { Store } from '../store/contents.ts'
import { prepareSearch, type SearchInput, type SearchPage } from '../store/search.ts'
import type { SearchTokens } from '../store/search-keys.ts'
import { queueEverything, waitingForSearch } from '../store/search-queue.ts'
import type { Recorder } from './recorder.ts'

/** Messages indexed in one transaction while somebody waits for the index. */
const batchSize = 512

/** Milliseconds for which a search waits until what its user has said before can be found. */
const longestWait = 1_000

/** Milliseconds between two looks at how much still waits. */
const reportInterval = 500

export interface SearchResult extends SearchPage {
  /** False when not all that was recorded before could be indexed in time: there may be hits that are not told. */
  readonly isComplete: boolean
}

/** What a search takes. */
interface SearchParts {
  readonly database: Store
  readonly recorder: Recorder
  readonly tokens: SearchTokens
}

/** Searches what is on record by now: what waits of this user is indexed first. @throws what `prepareSearch` raises */
export async function searchRecord(
  { database, recorder, tokens }: SearchParts,
  input: SearchInput,
): Promise<SearchResult> {
  const search = prepareSearch(database, tokens, input)
  const isComplete = await indexUser(recorder, input.userId)
  return { ...(await search()), isComplete }
}

/** Indexes what waits of a user, as far as that goes in the time. True when nothing waits any more. */
async function indexUser(recorder: Recorder, userId: string): Promise<boolean> {
  const { isQueued, conversationIds } = await recorder.waitingFor(userId)
  if (!isQueued && conversationIds.length === 0) return true
  const conversations = conversationIds.map(conversationId => ({ userId, conversationId }))
  const late = new AbortController()
  const work = async (): Promise<boolean> => {
    while (!late.signal.aborted)
      if (await recorder.index({ userId, limit: batchSize, conversations })) return true
    return false
  }
  const indexed = work()
  // When it is late nobody waits for it any more: the writer may be held up for long.
  indexed.catch(() => undefined)
  const timer = Promise.withResolvers<boolean>()
  const timeout = setTimeout(() => timer.resolve(false), longestWait)
  try {
    return await Promise.race([indexed, timer.promise])
  } finally {
    clearTimeout(timeout)
    late.abort()
  }
}

/** Makes what a user said findable by tokens of the data key that is current now. May be broken off and repeated. */
export async function indexAnew(database: Database, recorder: Recorder, userId: string): Promise<void> {
  if (database.search === undefined) return
  await queueEverything(database, userId)
  while (!(await recorder.index({ userId, limit: batchSize })));
}

/**
 * Indexes every message on record that is not indexed yet; for a database that was recorded to with search turned off. May
 * be broken off and repeated. Told how many messages are looked at and how many there are.
 * @throws SteleError search_disabled
 */
export async function indexEverything(
  database: Database,
  recorder: Recorder,
  onProgress: (done: number, total: number) => void,
): Promise<void> {
  if (database.search === undefined) throw new SteleError('search_disabled')
  await queueEverything(database)
  const total = await waitingForSearch(database)
  for (let reportAt = 0, isIndexed = false; !isIndexed; ) {
    isIndexed = await recorder.index({ limit: batchSize })
    if (performance.now() < reportAt && !isIndexed) continue
    // Others may record meanwhile.
    const waiting = await waitingForSearch(database)
    onProgress(Math.max(0, total - waiting), total)
    reportAt = performance.now() + reportInterval
  }
}
