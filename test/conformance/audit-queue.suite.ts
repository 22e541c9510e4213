import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import type { Row } from '../../src/db/tables.ts'
import { encodeContent } from '../../src/privacy/content.ts'
import type { Stele } from '../../src/stele.ts'
import { eventRow, type NewEvent, withoutKeys } from '../../src/store/audit-events.ts'
import { queueRow } from '../../src/store/audit-queue.ts'
import { exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { dropGuards } from '../harness/guards.ts'
import { storedRowsOf } from '../harness/rows.ts'

const forgery: NewEvent = { userId: 'ada', by: { userId: 'ada' }, action: 'login.succeeded' }

/** A store in which nothing is taken into the log but when it is asked for, with an event in it. */
async function quiet(bed: Bed): Promise<Stele> {
  const stele = await (await bed.place()).stele({ audit: { sequence: false } })
  await exchange(stele, [user('question')], 'answer')
  await stele.auditLog.sequence()
  return stele
}

/** Puts a row into the queue, as whoever can write the database may, and the event that it tells of. */
async function put(stele: Stele, queued: Row<'audit_queue'>, event?: Row<'audit_events'>): Promise<void> {
  const { kysely } = stele.database
  if (event !== undefined)
    await kysely
      .insertInto('audit_events')
      .values(event as never)
      .execute()
  await kysely.insertInto('audit_queue').values(queued).execute()
}

async function expectRefused(stele: Stele): Promise<void> {
  const before = await storedRowsOf(stele.database, 'audit_log')
  expect(await stele.audit.verify()).toMatchObject({ verified: false })
  await failure('audit_log_broken', stele.auditLog.sequence())
  expect(await storedRowsOf(stele.database, 'audit_log')).toEqual(before)
}

export function auditQueueSuite(bed: Bed): void {
  test('an event that somebody without the keys has queued is not taken into the log', async () => {
    for (const macOfQueued of [() => undefined, () => randomBytes(32)]) {
      const stele = await quiet(bed)
      const event = eventRow(forgery, Date.now())
      await put(stele, queueRow({ macOfQueued }, [event]), event)
      await expectRefused(stele)
    }
  })

  test('nor does it help to queue it under the name of an event that takes no keys', async () => {
    const stele = await quiet(bed)
    const event = eventRow(forgery, Date.now())
    const disguised = { ...event, action: 'schema.migrated' } as typeof event
    const leaf = queueRow(withoutKeys, [disguised])
    await put(stele, leaf, event)
    await expectRefused(stele)
  })

  test('nor is a row that was moved to another place in the queue, or one of which a byte was changed', async () => {
    const stele = await quiet(bed)
    await stele.auditEvents.add({ userId: '', by: 'stele', action: 'limit.repaired' })
    const [row] = await storedRowsOf(stele.database, 'audit_queue')
    if (row === undefined) throw new Error('nothing waits')
    const { kysely } = stele.database
    const changed = Buffer.from(row.leaves)
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1
    for (const other of [
      { ...row, id: `${row.id.slice(0, -1)}${row.id.endsWith('0') ? '1' : '0'}` },
      { ...row, leaves: changed },
    ]) {
      await kysely.deleteFrom('audit_queue').where('id', '=', row.id).execute()
      await put(stele, other)
      await expectRefused(stele)
      await kysely.deleteFrom('audit_queue').where('id', '=', other.id).execute()
    }
    await put(stele, row)
    await stele.auditLog.sequence()
    expect(await stele.audit.verify()).toMatchObject({ verified: true, pending: 1 })
  })

  test('nor does it help to say that the event is from before there was a log', async () => {
    const stele = await quiet(bed)
    const event = eventRow(forgery, Date.now())
    const { kysely } = stele.database
    await kysely
      .insertInto('audit_events')
      .values(event as never)
      .execute()
    await put(stele, { id: '0-backlog-at', leaves: encodeContent('') })
    await put(stele, { id: '0-backlog-end', leaves: encodeContent(event.id) })
    await expectRefused(stele)
  })

  test('an event has its place in the log; one that waits has none, and is told only as it was queued', async () => {
    const stele = await quiet(bed)
    const [logged] = await stele.auditEvents.list({ action: 'call.settled' })
    expect(logged?.logIndex).toBe(1)
    expect((await stele.auditEvents.get(logged?.id ?? ''))[0]?.logIndex).toBe(1)
    const { id } = await stele.auditLogger.logEvent({ eventType: 'seen', userId: 'ada', details: { a: 1 } })
    const asked = [
      () => stele.auditEvents.list({}),
      () => stele.auditEvents.list({ userId: 'ada', limit: 1 }),
      () => stele.auditEvents.get(id),
    ]
    for (const ask of asked) expect((await ask())[0]).toMatchObject({ id, logIndex: undefined })
    const pending = async () =>
      (await stele.auditEvents.stats()).map(({ action, events, pending }) => [action, events, pending])
    expect(await pending()).toEqual([
      ['app.seen', 1, 1],
      ['call.begun', 1, 0],
      ['call.settled', 1, 0],
    ])
    expect(await stele.auditEvents.stats({ userId: 'ada' })).toContainEqual({
      day: undefined,
      action: 'app.seen',
      category: 'general',
      severity: 'info',
      events: 1,
      pending: 1,
    })

    const { kysely } = stele.database
    await dropGuards(stele.database)
    await kysely.updateTable('audit_events').set({ outcome: 'denied' }).where('id', '=', id).execute()
    for (const ask of asked) await failure('audit_log_broken', ask())
    await kysely.updateTable('audit_events').set({ outcome: 'success' }).where('id', '=', id).execute()
    for (const ask of asked) expect((await ask())[0]).toMatchObject({ id })
    const [row] = await storedRowsOf(stele.database, 'audit_queue')
    const bent = Buffer.from(row?.leaves ?? [])
    bent[bent.length - 1] = (bent.at(-1) ?? 0) ^ 1
    await sql`UPDATE audit_queue SET leaves = ${bent}`.execute(kysely)
    for (const ask of [...asked, pending]) await failure('audit_log_broken', ask())
    await kysely
      .updateTable('audit_queue')
      .set({ leaves: row?.leaves ?? bent })
      .execute()
    await stele.auditLog.sequence()
    for (const ask of asked) expect((await ask())[0]).toMatchObject({ id, logIndex: 2 })
    expect(await pending()).toContainEqual(['app.seen', 1, 0])
  })

  test('what commands without the keys put on record is taken in, and nothing else that is written so', async () => {
    const stele = await quiet(bed)
    const event = eventRow({ userId: '', by: {}, action: 'record.backed_up' }, Date.now())
    await put(stele, queueRow(withoutKeys, [event]), event)
    await stele.auditLog.sequence()
    expect(await stele.audit.verify()).toMatchObject({ verified: true, pending: 0 })
  })
}
