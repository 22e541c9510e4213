import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { keyText, readCalls, settledOf } from './calls.ts'
import type { CallFacts } from './measures.ts'
import { readProgress } from './progress.ts'
import { pendingCalls } from './roll-up.ts'

const callsAtATime = 5_000

/** Settled calls that are not in the sums yet, page by page. @param userId only this user's */
export async function* readTail(
  db: Kysely<Tables>,
  userId: string | undefined,
): AsyncGenerator<readonly CallFacts[]> {
  const { rolledTo } = await readProgress(db)
  const pending = await pendingCalls(db, Number.MAX_SAFE_INTEGER)
  // Those that it has not come to are among the others.
  yield pending.filter(call => call.id < rolledTo && (userId === undefined || call.user_id === userId))
  let from = rolledTo
  for (let seen = new Set<string>(); ; ) {
    const where = userId === undefined ? sql`1 = 1` : sql`q.user_id = ${userId}`
    const page = await readCalls(db, { where, limit: callsAtATime }, { from })
    // The next page begins with the last id of this one: it may be that of several users.
    yield settledOf(page.filter(call => !seen.has(keyText(call))))
    const last = page.at(-1)?.call_id
    if (page.length < callsAtATime || last === undefined || last === from) return
    seen = new Set(page.filter(call => call.call_id === last).map(keyText))
    from = last
  }
}
