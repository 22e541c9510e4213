import { sql } from 'kysely'
import { expect, test } from 'vitest'
import type { Database } from '../../src/db/database.ts'
import { recordTables } from '../../src/db/tables.ts'
import { newId } from '../../src/ids.ts'
import { copyDatabase } from '../../src/moving/copy.ts'
import type { Stele } from '../../src/stele.ts'
import { assistant, exchange, reproduced, user } from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import type { Bed } from '../harness/databases.ts'
import { planType } from '../harness/documents.ts'
import { failure } from '../harness/errors.ts'
import { callWithAll } from '../harness/every-kind.ts'
import { recordOddities } from '../harness/odd-record.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { letClocksRun, rollUpAll } from '../harness/usage.ts'
import { everything, fill, hasMark, placesOf } from './copied.ts'

/** One of every kind that calls do not leave by themselves. */
async function recordRest(stele: Stele): Promise<void> {
  await stele.limits.set({ user: 'ada' }, { requestsPerMonth: 1_000 })
  const claim = { keyHash: 'k', requestHash: 'r', expiresAt: Date.now() + 60_000 }
  const { conversationId } = await callWithAll(stele, [user('with all')], 'of it', { claim })
  await stele.contextSnapshots.create({ userId: 'ada', conversationId, upToSeq: 0, content: 'in short' })
  await stele.documents.register(planType())
  await stele.retention.set('ada', { contentDays: 7 })
  await stele.auditLogger.logEvent({ eventType: 'lunch', userId: 'ada', details: { soup: 'leek' } })
  await stele.retention.takeTurn(60_000)
  const password = 'a password for a copy'
  const times = { idle: 60_000, absolute: 60_000 }
  await stele.logins.createAccount({ userId: 'eve', role: 'admin', password }, { userId: 'eve' })
  await stele.logins.logIn({ name: 'eve', password, place: 'here', times })
  const grant = {
    userId: 'ada',
    holder: 'eve',
    reason: 'to have one of them',
    expiresAt: Date.now() + 60_000,
  }
  await stele.grants.create(grant)
  await letClocksRun(stele)
  await rollUpAll(stele, 100)
  const pending = { user_id: 'ada', call_id: newId('call') }
  await stele.database.kysely.insertInto('usage_pending').values(pending).execute()
  await stele.auditLog.sequence()
  await stele.auditEvents.add({ userId: 'ada', by: {}, action: 'usage.repaired' })
}

export function copySuite(from: Bed, to: Bed): void {
  test('a copy holds the same rows, and serves: exact bytes, totals, conversations that go on', async () => {
    const { source, target } = await placesOf(from, to)
    const stele = await source.stele({ audit: { sequence: false } })
    const calls = await recordOddities(stele)
    await stele.apiKeys.create({ userId: 'ada' })
    await recordRest(stele)
    for (const table of recordTables) expect(await countOf(stele, table), table).toBeGreaterThan(0)
    const report = await copyDatabase(source.database(), target.database())
    expect(report.isResumed).toBe(false)
    expect(report.tables.map(({ difference }) => difference)).toEqual(recordTables.map(() => undefined))
    expect(report.tables.find(({ table }) => table === 'llm_requests')?.rows).toBe(calls.length + 1)
    expect(await everything(target.database())).toEqual(await everything(source.database()))

    // The ids of an earlier year too have a place of their own, where the database has such.
    expect((await target.database().examine()).filter(({ ok }) => !ok)).toEqual([])

    const copy = await target.stele()
    expect((await copy.audit.verify({ contents: true })).fault).toBeUndefined()
    for (const { callId, userId, request, response } of calls) {
      expect((await copy.calls.exactRequest(userId, callId)).equals(Buffer.from(request))).toBe(true)
      expect(await copy.calls.exactResponse(userId, callId)).toEqual(response)
    }
    expect(await rowsOf(copy, 'usage_daily')).toEqual(await rowsOf(stele, 'usage_daily'))
    const first = await copy.calls.get('ada', calls[0]?.callId ?? '')
    const next = await exchange(
      copy,
      [
        { role: 'system', content: 'be brief' },
        user('one'),
        assistant('answer one'),
        user('two'),
        assistant('answer two'),
        user('only in the copy'),
      ],
      'as before',
    )
    expect(next.call.upToSeq).toBe(5)
    const { parentId, nextSeq } = (await copy.conversations.get('ada', next.call.conversationId)) ?? {}
    expect([next.call.conversationId, parentId]).toContain(first?.conversationId)
    expect(nextSeq).toBe(7)
    const stored = await copy.database.kysely
      .selectFrom('messages')
      .select('seq')
      .where('call_id', '=', next.call.callId)
      .execute()
    expect(stored.map(({ seq }) => seq).sort()).toEqual([5, 6])
    expect(await reproduced(copy, next.call.callId)).toMatchObject({ request: next.request })
  })

  test('a copy is of one moment, while the source is written on', async () => {
    const { source, target } = await placesOf(from, to)
    const stele = await source.stele({ audit: { sequence: false } })
    await fill(stele, 50)
    const database = source.database()
    const busy: Database = {
      ...database,
      snapshot: work =>
        database.snapshot(async db => {
          await db.selectFrom('users').select('id').execute()
          await fill(stele, 50, 'later question')
          return work(db)
        }),
    }
    const report = await copyDatabase(busy, target.database())
    expect(await countOf(stele, 'messages')).toBe(200)
    expect(report.tables.filter(({ difference }) => difference !== undefined)).toEqual([])
    expect(await countOf({ database: target.database() }, 'messages')).toBe(100)
    expect(await countOf({ database: target.database() }, 'llm_responses')).toBe(50)
  })

  test('what differs in the end is named, and the target stays marked until a later run repairs it', async () => {
    const { source, target } = await placesOf(from, to)
    const stele = await source.stele({ audit: { sequence: false } })
    await fill(stele, 20)
    const broken = target.database()
    let isSpoilt = false
    const spoilt: Database = {
      ...broken,
      // A disk that changes what was written.
      snapshot: async work => {
        if (!isSpoilt) await sql`UPDATE messages SET model = 'other' WHERE seq = 1`.execute(broken.kysely)
        if (!isSpoilt) await sql`DELETE FROM users WHERE id = 'user-1'`.execute(broken.kysely)
        isSpoilt = true
        return broken.snapshot(work)
      },
    }
    const report = await copyDatabase(source.database(), spoilt)
    expect(report.tables.filter(({ difference }) => difference !== undefined)).toEqual([
      { table: 'users', rows: 7, difference: 'the source has 7 rows, the target 6' },
      { table: 'messages', rows: 40, difference: 'the rows differ in content' },
    ])
    expect(await hasMark(broken)).toBe(true)
    await failure('copy_unfinished', target.stele())
    const again = await copyDatabase(source.database(), broken)
    expect(again.tables.every(({ difference }) => difference === undefined)).toBe(true)
    expect(await everything(broken)).toEqual(await everything(source.database()))
  })

  test('a target that holds data, or the unfinished copy of another database, is refused and kept', async () => {
    const { source, target } = await placesOf(from, to)
    await source.stele({ audit: { sequence: false } })
    const other = await target.stele()
    await other.users.create('somebody')
    await failure('database_not_empty', copyDatabase(source.database(), target.database()))
    expect(await rowsOf(other, 'users')).toHaveLength(1)

    const third = await to.place()
    const child = startChild('copy-database.ts', third, {
      from: { databaseUrl: target.databaseUrl, schema: target.schema },
      stopAt: 1,
    })
    await child.next()
    await child.kill()
    const error = await failure('copy_unfinished', copyDatabase(source.database(), third.database()))
    expect(error.message).toContain(target.database().location.display)
    await failure('copy_unfinished', copyDatabase(third.database(), (await to.place()).database()))
  })
}
