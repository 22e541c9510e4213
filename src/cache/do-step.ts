import { sql } from 'kysely'
import type { Row } from '../db/tables.ts'
import { idTime } from '../ids.ts'
import { type EventRow, eventRow } from '../store/audit-events.ts'
import type { Store } from '../store/contents.ts'
import { isCurrent } from '../store/data-keys.ts'
import { writeSealed } from '../store/sealed-batch.ts'
import type { CacheStep, CacheStepResult, EntryUse, NewEntry } from './steps.ts'

/** Entries removed in one transaction, which bounds how long those who record wait for it. */
const entriesAtATime = 500

/** What is left of a bound when it was passed: else every entry that comes would push one out. */
const shareKept = 0.9

type Key = Pick<Row<'cache_entries'>, 'user_id' | 'id'>

const nothing: CacheStepResult = { removed: 0, isMore: false, entries: 0, bytes: 0 }

export async function doCacheStep(database: Store, step: CacheStep): Promise<CacheStepResult> {
  switch (step.kind) {
    case 'put':
      await put(database, step.entry)
      return nothing
    case 'use':
      await noteUses(database, step.uses)
      return nothing
    case 'clear':
      return clear(database, step)
    case 'sweep':
      return sweep(database, step)
  }
}

/**
 * Keeps an entry in place of an earlier one to the same request. An answer to what was asked before its user was erased is
 * not kept, and no key is made for one.
 */
async function put(database: Store, { row, apiKeyId }: NewEntry): Promise<void> {
  const { user_id, entry_hash } = row
  const apiKeys = apiKeyId === undefined ? [] : [apiKeyId]
  await writeSealed(database, { all: [user_id], apiKeys }, async batch => {
    const whose = [{ user_id }]
    const keys = await batch.stored.find('data_keys', ['user_id'], whose, ['id'], { where: isCurrent })
    if (keys.length === 0) return
    const [user] = await batch.stored.find('users', ['id'], [{ id: user_id }], ['erased_at'])
    if (idTime(row.call_id) <= (user?.erased_at ?? -1)) return
    await batch.remove('cache_entries', ['user_id', 'entry_hash'], [{ user_id, entry_hash }])
    await batch.insert('cache_entries', [{ ...row, writtenWith: apiKeyId }])
  })
}

/** In the order of their keys: two that do so at once do not wait for each other crosswise. */
async function noteUses({ kysely }: Store, uses: readonly EntryUse[]): Promise<void> {
  const ordered = uses.toSorted((a, b) => (`${a.userId}\0${a.id}` < `${b.userId}\0${b.id}` ? -1 : 1))
  await kysely.transaction().execute(async tx => {
    for (const { userId, id, hits, at } of ordered)
      await tx
        .updateTable('cache_entries')
        .set({
          hits: sql<number>`hits + ${hits}`,
          last_used_at: sql<number>`CASE WHEN last_used_at < ${at} THEN ${at} ELSE last_used_at END`,
        })
        .where('user_id', '=', userId)
        .where('id', '=', id)
        .execute()
  })
}

async function clear(
  database: Store,
  { filter: { userId, model }, by, at }: Extract<CacheStep, { kind: 'clear' }>,
): Promise<CacheStepResult> {
  const keys = await database.kysely
    .selectFrom('cache_entries')
    .select(['user_id', 'id'])
    .$if(userId !== undefined, query => query.where('user_id', '=', userId ?? ''))
    .$if(model !== undefined, query => query.where('model', '=', model ?? ''))
    .limit(entriesAtATime)
    .execute()
  const details = { entries: keys.length, ...(model === undefined ? {} : { model }) }
  const event = eventRow({ userId: userId ?? '', by, action: 'cache.cleared', details }, at)
  return removed(database, keys, [event])
}

async function sweep(
  database: Store,
  { now, maxEntries, maxBytes }: Extract<CacheStep, { kind: 'sweep' }>,
): Promise<CacheStepResult> {
  const { kysely } = database
  const expired = await kysely
    .selectFrom('cache_entries')
    .select(['user_id', 'id'])
    .where('expires_at', '<=', now)
    .limit(entriesAtATime)
    .execute()
  const gone = await removed(database, expired)
  if (gone.isMore) return gone
  const there = await kysely
    .selectFrom('cache_entries')
    .select([sql<number>`count(*)`.as('entries'), sql<number>`coalesce(sum(bytes), 0)`.as('bytes')])
    .executeTakeFirstOrThrow()
  let { entries, bytes } = there
  if (entries <= maxEntries && bytes <= maxBytes) return { ...nothing, removed: gone.removed, entries, bytes }
  const oldest = await kysely
    .selectFrom('cache_entries')
    .select(['user_id', 'id', 'bytes'])
    .orderBy('last_used_at')
    .limit(entriesAtATime)
    .execute()
  const leaving: Key[] = []
  for (const entry of oldest) {
    if (entries <= maxEntries * shareKept && bytes <= maxBytes * shareKept) break
    leaving.push({ user_id: entry.user_id, id: entry.id })
    entries -= 1
    bytes -= entry.bytes
  }
  const { removed: count } = await removed(database, leaving)
  return { removed: gone.removed + count, isMore: entries > maxEntries || bytes > maxBytes, entries, bytes }
}

async function removed(
  database: Store,
  keys: readonly Key[],
  events: readonly EventRow[] = [],
): Promise<CacheStepResult> {
  if (keys.length === 0) return nothing
  const count = await writeSealed(database, { all: [] }, async batch => {
    await batch.insert('audit_events', events)
    return batch.remove('cache_entries', ['user_id', 'id'], keys)
  })
  return { ...nothing, removed: count, isMore: keys.length === entriesAtATime }
}
