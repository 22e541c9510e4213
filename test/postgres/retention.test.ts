import { sql } from 'kysely'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import {
  assistant,
  begin,
  chatBody,
  completed,
  completionBody,
  exchange,
  settle,
  user,
} from '../harness/chat.ts'
import { type Place, postgresPlace } from '../harness/databases.ts'
import { callWithAll, indexOf } from '../harness/every-kind.ts'
import { rowsOf } from '../harness/rows.ts'
import { expectedAfter, tablesOf, watched, withoutDeadHashes } from '../property/retention-model.ts'

const day = 86_400_000

/** Ids carry the time that they are made at: calls of the past are made in it. In order of time, as ids only go up. */
async function at<R>(time: number, work: () => Promise<R>): Promise<R> {
  vi.setSystemTime(time)
  return work()
}

async function openInThePast(time: number, retention: object): Promise<{ place: Place; stele: Stele }> {
  vi.useFakeTimers({ toFake: ['Date'], now: time })
  onTestFinished(() => void vi.useRealTimers())
  const place = await postgresPlace()
  return { place, stele: await place.stele({ retention }) }
}

async function partitionsOf(stele: Stele, table: string): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relispartition AND c.relkind = 'r' AND n.nspname = current_schema() AND c.relname LIKE ${`${table}_2%`}
    ORDER BY 1`.execute(stele.database.kysely)
  return rows.map(({ name }) => name.slice(table.length + 1))
}

/** Another connection that reads the table, and goes on until it is told to stop. */
async function reader(place: Place, table: string): Promise<() => Promise<void>> {
  const database = place.database()
  const ready = Promise.withResolvers<void>()
  const done = Promise.withResolvers<void>()
  const reading = database.snapshot(async db => {
    await sql`SELECT count(*) FROM ${sql.table(table)}`.execute(db)
    ready.resolve()
    await done.promise
  })
  await ready.promise
  return async () => {
    done.resolve()
    await reading
  }
}

test('months in which everything has expired for everybody are dropped, the rest goes row by row', async () => {
  const january = Date.UTC(2100, 0, 10)
  const retention = { contentDays: 20, metadataDays: 60 }
  const { stele } = await openInThePast(january, retention)
  await at(january + day, () => callWithAll(stele, [user('old')], 'a', { createdAt: january + day }))
  // A conversation that is still used, of a month in which all others have expired.
  const lasting = await at(january + 2 * day, () => exchange(stele, [user('lasting')], 'b'))
  const february = january + 30 * day
  await at(february, () => stele.database.ensureStorage(february))
  const forked = await at(february, () => exchange(stele, [user('forked')], 'c'))
  await at(february + day, () => exchange(stele, [user('forked'), assistant('else')], 'd'))
  const may = january + 120 * day
  await at(may, () => stele.database.ensureStorage(may))
  await at(may, () => exchange(stele, [user('lasting'), assistant('b'), user('go on')], 'e'))
  await at(may, () =>
    exchange(stele, [user('forked'), assistant('c'), user('go on')], 'f', { userId: 'bob' }),
  )
  expect(await stele.recorder.index({ limit: 100 })).toBe(true)
  const now = may + day
  vi.setSystemTime(now)
  const before = await tablesOf(stele)
  const expected = expectedAfter(before, [], retention, now)
  const preview = await stele.retention.run({ dryRun: true, now })
  expect(preview.expired).toEqual(expected.tallies)

  const report = await stele.retention.run({ now })
  expect(report.expired).toEqual(expected.tallies)
  expect(report.busyMonths).toEqual([])
  expect(report.droppedMonths).toEqual(
    expect.arrayContaining([
      'llm_requests 2100-01',
      'llm_responses 2100-01',
      'llm_requests 2100-02',
      'llm_responses 2100-02',
      'messages 2100-02',
    ]),
  )
  // The month of the conversation that is still used stays, with what is left of it.
  expect(report.droppedMonths).not.toContain('messages 2100-01')
  expect(await partitionsOf(stele, 'messages')).toContain('2100_01')
  expect(await partitionsOf(stele, 'llm_requests')).not.toContain('2100_01')
  expect(await partitionsOf(stele, 'audit_events')).toContain('2100_01')
  const after = withoutDeadHashes(await tablesOf(stele), before)
  for (const table of watched) expect(after[table], table).toEqual(expected.tables[table])
  expect((await rowsOf(stele, 'messages')).map(({ conversation_id }) => conversation_id)).toContain(
    lasting.call.conversationId,
  )
  expect(await stele.conversations.get('ada', forked.call.conversationId)).toBeUndefined()
  for (const table of ['responses', 'stored_completions'] as const)
    expect(await rowsOf(stele, table)).toEqual([])
  const left = (await rowsOf(stele, 'messages')).map(row => `${row.conversation_id} ${row.seq}`).sort()
  expect(await indexOf(stele)).toEqual({ places: left, texts: left.length })
  expect((await stele.retention.run({ now })).droppedMonths).toEqual([])
  await stele.database.ensureStorage(now)
  await exchange(stele, [user('goes on')], 'a')
})

test('one user who keeps things for ever keeps the months', async () => {
  const january = Date.UTC(2110, 0, 10)
  const { stele } = await openInThePast(january, { metadataDays: 30 })
  await stele.retention.set('bob', { metadataDays: 0 })
  const kept = await exchange(stele, [user('q')], 'a', { userId: 'bob' })
  await exchange(stele, [user('q')], 'a')
  const now = january + 120 * day
  vi.setSystemTime(now)
  const before = await tablesOf(stele)
  const expected = expectedAfter(before, await rowsOf(stele, 'retention_policies'), { metadataDays: 30 }, now)
  const report = await stele.retention.run({ now })
  expect(report.droppedMonths).toEqual([])
  expect(report.expired).toEqual(expected.tallies)
  expect((await rowsOf(stele, 'llm_requests')).map(({ id }) => id)).toEqual([kept.call.callId])
})

test('a month that somebody reads is left for the next run, and calls are not held up by the try', async () => {
  const january = Date.UTC(2120, 0, 10)
  const { place, stele } = await openInThePast(january, { metadataDays: 30 })
  await exchange(stele, [user('old')], 'a')
  const now = january + 120 * day
  vi.setSystemTime(now)
  await stele.database.ensureStorage(now)
  const release = await reader(place, 'llm_requests')
  const [report, fresh] = await Promise.all([
    stele.retention.run({ now }),
    Promise.all(Array.from({ length: 20 }, (_, index) => exchange(stele, [user(`new ${index}`)], 'b'))),
  ])
  expect(fresh).toHaveLength(20)
  expect(report.busyMonths).toContain('llm_requests 2120-01')
  expect(stele.recorder.spool?.isSpooling).toBe(false)
  // It is not worked off row by row meanwhile.
  expect((await rowsOf(stele, 'llm_requests')).length).toBe(21)
  await release()
  const next = await stele.retention.run({ now })
  expect(next.busyMonths).toEqual([])
  expect(next.droppedMonths).toContain('llm_requests 2120-01')
  expect((await rowsOf(stele, 'llm_requests')).length).toBe(20)
})

test('a month with a call under way is not dropped', async () => {
  const january = Date.UTC(2130, 0, 10)
  const { stele } = await openInThePast(january, { metadataDays: 30 })
  const slow = await begin(stele, chatBody([user('slow')]))
  const now = january + 120 * day
  vi.setSystemTime(now)
  const report = await stele.retention.run({ now })
  expect(report.expired).toEqual([])
  expect(report.droppedMonths.filter(name => name.endsWith('2130-01'))).toEqual([])
  await settle(stele, slow, completed(completionBody('at last'), { createdAt: now }))
  expect((await stele.calls.get('ada', slow.callId))?.status).toBe('completed')
})

test('what is being put in the search index while it expires is taken out again', async () => {
  const place = await postgresPlace()
  const stele = await place.stele({ retention: { contentDays: 30 } })
  const start = Date.UTC(2026, 0, 1)
  const call = await begin(stele, chatBody([user('a secret')]), { createdAt: start })
  await settle(stele, call, { status: 'failed', errorCode: 'x', createdAt: start })
  let run: Promise<unknown> | undefined
  await place.database().batch(async batch => {
    const conversation_id = call.conversationId ?? ''
    await batch.insertAbsent('search_progress', [
      { user_id: 'ada', conversation_id, next_seq: 1, key_id: '' },
    ])
    let hasEnded = false
    run = stele.retention.run({ now: start + 31 * day }).finally(() => {
      hasEnded = true
    })
    await expect.poll(async () => hasEnded || (await waitsForProgress(place)), { timeout: 10_000 }).toBe(true)
    const { conversationId } = call
    const document = { userId: 'ada', conversationId, seq: 0, role: 'user', createdAt: start }
    await batch.search.put([{ ...document, words: ['token'], starts: [] }])
  })
  await run
  await expect(stele.calls.exactRequest('ada', call.callId)).rejects.toMatchObject({
    code: 'content_not_kept',
  })
  expect(await indexOf(stele)).toEqual({ places: [], texts: 0 })
})

/** Whether somebody waits for how far the index of this place has come. */
async function waitsForProgress(place: Place): Promise<boolean> {
  const { rows } = await sql`
    SELECT 1 FROM pg_locks w JOIN pg_locks q ON q.pid = w.pid
    WHERE NOT w.granted AND q.relation = ${`${place.schema}.search_progress`}::regclass`.execute(
    place.database().kysely,
  )
  return rows.length > 0
}
