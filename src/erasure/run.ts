import { setTimeout } from 'node:timers/promises'
import type { Database } from '../db/database.ts'
import type { DoStep } from '../retention/steps.ts'
import { type RemovedTable, removedTables } from './plan.ts'
import type { DoErasureStep, ErasureRequest, ErasureStep, ErasureStepResult } from './steps.ts'

export interface ErasureParts {
  readonly database: Database
  readonly doStep: DoErasureStep
  /** Steps that erasing shares with letting go what has expired. */
  readonly doRetentionStep: DoStep
  /** Called as soon as the keys are destroyed. */
  readonly onUnreadable: () => void
  /** Told after every step how many rows are done. */
  readonly onProgress?: ((rows: number) => void) | undefined
  /** Ends it between two steps; what is done stays done, and the next run does the rest. */
  readonly signal?: AbortSignal | undefined
}

export interface ErasureRun {
  /** What was begun at this time or before stays without content. */
  readonly erasedAt: number
  /** Rows removed or blanked in this run, by table. */
  readonly counts: Readonly<Record<string, number>>
  /** False when bytes of what went are still in the file or its log: somebody reads it, or it has very many keys. */
  readonly isScrubbed: boolean
  /** Bytes of the file that nothing uses and that could not be given back. */
  readonly unusedBytes: number
}

/** Milliseconds that a step may make the next one wait, where writers take turns. */
const longestPause = 50

/** How often, and after how many milliseconds, the database is asked again to let go of its copies. */
const scrubTries = 20
const scrubPause = 100

/** Erases a user step by step: first the keys, which makes all unreadable at once, then every row. Ended at any point it is
 * finished by the next run. @throws SteleError user_not_found */
export async function runErasure(parts: ErasureParts, request: ErasureRequest): Promise<ErasureRun> {
  const { database, doRetentionStep, onProgress } = parts
  const { userId } = request
  const counts = new Map<string, number>()
  let rows = 0
  const step = async (what: ErasureStep): Promise<ErasureStepResult> => {
    parts.signal?.throwIfAborted()
    const startedAt = performance.now()
    const result = await parts.doStep(what)
    for (const [kind, done] of Object.entries(result.counts)) {
      if (done > 0) counts.set(kind, (counts.get(kind) ?? 0) + done)
      rows += done
    }
    onProgress?.(rows)
    if (database.capabilities.hasOneWriter)
      await setTimeout(Math.min(performance.now() - startedAt, longestPause))
    return result
  }
  const { erasedAt = 0 } = await step({ kind: 'begin', request, at: Date.now() })
  parts.onUnreadable()
  while ((await step({ kind: 'conversations', userId })).isMore);
  for (let after = ''; ; ) {
    const { isMore, last } = await step({ kind: 'calls', userId, after })
    if (!isMore || last === undefined) break
    after = last
  }
  for (const table of Object.keys(removedTables) as RemovedTable[])
    while ((await step({ kind: 'rows', userId, table })).isMore);
  for (let isFirst = true, isMore = true; isMore; isFirst = false)
    isMore = (await doRetentionStep({ kind: 'forget-words', isFirst })).isMore
  const unusedBytes = await reclaim(doRetentionStep)
  const isScrubbed = await scrub(parts.doStep, parts.signal)
  // Last: whoever looks for erasures that broke off must find this one until nothing is left to be done.
  await step({ kind: 'finish', request, counts: Object.fromEntries(counts), at: Date.now() })
  return { erasedAt, counts: Object.fromEntries(counts), isScrubbed, unusedBytes }
}

async function reclaim(doStep: DoStep): Promise<number> {
  for (;;) {
    const { reclaimed } = await doStep({ kind: 'reclaim' })
    if (reclaimed.freed === 0 || reclaimed.left === 0) return reclaimed.left
  }
}

async function scrub(doStep: DoErasureStep, signal: AbortSignal | undefined): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    const { isMore, isLeft } = await doStep({ kind: 'scrub' })
    if (!isMore) return isLeft !== true
    if (attempt >= scrubTries) return false
    await setTimeout(scrubPause)
  }
}
