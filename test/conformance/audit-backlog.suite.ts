import { expect, test } from 'vitest'
import { doAuditStep } from '../../src/audit/log/do-step.ts'
import type { Row } from '../../src/db/tables.ts'
import { lowestIdAt } from '../../src/ids.ts'
import { encodeContent } from '../../src/privacy/content.ts'
import { generateMasterKey, parseMasterKey } from '../../src/privacy/master-key.ts'
import type { Stele } from '../../src/stele.ts'
import { addEvents, eventRow, operator } from '../../src/store/audit-events.ts'
import { signedRow } from '../../src/store/audit-queue.ts'
import { readGuard } from '../../src/store/guard.ts'
import { rewrapAll } from '../../src/store/rotate-master.ts'
import { type LogRows, readLogRows, writeLogRows } from '../audit/log-rows.ts'
import { guardOf, removeLogKeys, unmark } from '../harness/begun-log.ts'
import type { Bed, Place } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { dropGuards, withoutGuards } from '../harness/guards.ts'
import { countOf, storedRowsOf } from '../harness/rows.ts'

/** Nothing is taken into the log but what a test says. */
const still = { audit: { sequence: false } } as const

const boundId = '0-backlog-end'

async function note(stele: Stele, count: number): Promise<void> {
  const { database } = stele
  const events = Array.from({ length: count }, (_, index) =>
    eventRow({ userId: 'ada', by: operator, action: 'usage.repaired', details: { index } }, Date.now()),
  )
  await database.kysely.transaction().execute(tx => addEvents(tx, database.contents, ...events))
}

/** A database with events and no log, as the migration leaves it, and what it has written of them. */
async function older(place: Place, count: number): Promise<readonly Row<'audit_queue'>[]> {
  const stele = await place.stele(still)
  const { database } = stele
  await note(stele, count)
  const events = await storedRowsOf(database, 'audit_events')
  await removeLogKeys(database)
  await database.kysely.deleteFrom('audit_queue').execute()
  const rows = [
    {
      id: boundId,
      leaves: encodeContent(
        events
          .map(({ id }) => id)
          .sort()
          .at(-1) ?? '',
      ),
    },
    { id: '0-backlog-at', leaves: encodeContent('') },
  ]
  await database.kysely.insertInto('audit_queue').values(rows).execute()
  await unmark(database, place.masterKey)
  await stele.close()
  return rows
}

const waitingBound = async (stele: Stele): Promise<Row<'audit_queue'> | undefined> =>
  (await storedRowsOf(stele.database, 'audit_queue')).find(({ id }) => id === boundId)

const boundOf = async (stele: Stele): Promise<Row<'audit_queue'>> =>
  (await waitingBound(stele)) ?? expect.fail('no events are from before')

/** What the first secret says. */
const takesOld = async (stele: Stele, { masterKey }: Pick<Place, 'masterKey'>): Promise<boolean> =>
  (await readGuard(stele.database.kysely, () => parseMasterKey(masterKey)))?.log?.takesOld ??
  expect.fail('there is no log')

const step = (stele: Stele) => doAuditStep(stele.database, { limit: 10, published: [] })

/** An event as if it were from before the log, which no row of the queue tells of. */
async function slipIn({ database }: Stele): Promise<void> {
  const event = eventRow({ userId: 'eve', by: 'eve', action: 'schema.migrated' }, 1, lowestIdAt('audit', 1))
  await database.kysely
    .insertInto('audit_events')
    .values({ ...event, details: null })
    .execute()
}

async function expectRefused(stele: Stele, rows: readonly Row<'audit_queue'>[]): Promise<void> {
  const { kysely } = stele.database
  for (const row of rows) {
    await kysely.insertInto('audit_queue').values(row).execute()
    expect(await stele.audit.verify()).toMatchObject({ verified: false })
    const entries = await storedRowsOf(stele.database, 'audit_log')
    await failure('audit_log_broken', step(stele))
    expect(await storedRowsOf(stele.database, 'audit_log')).toEqual(entries)
    await kysely.deleteFrom('audit_queue').where('id', '=', row.id).execute()
  }
}

export function auditBacklogSuite(bed: Bed): void {
  test.each([25, 20])(
    'what tells of %i older events is good until they are taken in, and never after',
    async count => {
      const place = await bed.place()
      const unsigned = await older(place, count)
      const stele = await place.stele(still)
      const kept = [await boundOf(stele)]
      expect(await stele.audit.verify()).toMatchObject({ verified: true, pending: count })
      await step(stele)
      kept.push(await boundOf(stele))
      expect(await stele.audit.verify()).toMatchObject({ verified: true, pending: count - 10 })
      // One of a step before would leave events out, or take them in twice.
      const { kysely } = stele.database
      const put = (leaves: Uint8Array) =>
        kysely.updateTable('audit_queue').set({ leaves }).where('id', '=', boundId).execute()
      await put(kept[0]?.leaves ?? Buffer.of())
      await failure('audit_log_broken', step(stele))
      expect(await stele.audit.verify()).toMatchObject({ verified: false })
      await put(kept[1]?.leaves ?? Buffer.of())
      for (let row: Row<'audit_queue'> | undefined = kept[1]; row !== undefined; ) {
        await step(stele)
        row = await waitingBound(stele)
        if (row !== undefined) kept.push(row)
      }
      expect(await stele.audit.verify()).toMatchObject({ verified: true, pending: 0, size: count })
      await withoutGuards(stele.database, () => slipIn(stele))
      await expectRefused(stele, [...kept, ...unsigned])
      expect(await stele.audit.verify()).toMatchObject({ verified: false })
    },
  )

  test('once they are taken in, what told of them is good for nothing in a log that was cut back to its size', async () => {
    const place = await bed.place()
    await older(place, 25)
    const stele = await place.stele(still)
    const { kysely } = stele.database
    const kept: LogRows[] = []
    while ((await waitingBound(stele)) !== undefined) {
      kept.push(await readLogRows(kysely))
      expect(await takesOld(stele, place)).toBe(true)
      await step(stele)
    }
    expect(kept).toHaveLength(3)
    expect(await takesOld(stele, place)).toBe(false)
    await note(stele, 1)
    await step(stele)
    await dropGuards(stele.database)
    let rows = await readLogRows(kysely)
    const putBack = async (then: LogRows, secrets: LogRows['secrets']): Promise<void> => {
      const newest =
        then.audit_log
          .map(({ event_id }) => String(event_id))
          .sort()
          .at(-1) ?? ''
      const audit_events = then.audit_events.map(row =>
        String(row['id']) > newest ? { ...row, actor: 'mallory' } : row,
      )
      const changed = { ...then, audit_events, secrets }
      await writeLogRows(kysely, rows, changed)
      rows = await readLogRows(kysely)
    }
    const { secrets } = rows
    for (const then of kept) {
      await putBack(then, secrets)
      const { fault } = await stele.audit.verify()
      expect(fault?.reason).toContain('all of them are in it')
      await failure('audit_log_broken', step(stele))
      const again = await place.stele(still)
      await failure('audit_log_broken', step(again))
      expect(await countOf(again, 'audit_log')).toBe(then.audit_log.length)
    }
    // Nothing else gives it away: who has kept the first secret too, and the master key is still the same, gets through with it.
    const [then] = kept
    if (then === undefined) return
    await putBack(then, then.secrets)
    await step(stele)
    expect(await stele.audit.verify()).toMatchObject({ verified: true, size: 10 })
    const next = generateMasterKey()
    const old = parseMasterKey(place.masterKey)
    await rewrapAll(stele.database, { find: id => (id === next.id ? next : old) }, next)
    rows = await readLogRows(kysely)
    await putBack(then, then.secrets)
    const masterKey = Buffer.from(next.bytes).toString('base64')
    await failure('master_key_mismatch', place.stele({ ...still, masterKey }))
  })

  test('what tells of them cannot be taken away for later', async () => {
    const place = await bed.place()
    await older(place, 25)
    const stele = await place.stele(still)
    await step(stele)
    const bound = await boundOf(stele)
    const { kysely } = stele.database
    await kysely.deleteFrom('audit_queue').execute()
    await failure('audit_log_broken', step(stele))
    const { fault } = await stele.audit.verify()
    expect(fault?.reason).toContain('what tells how far events are from before there was a log is gone')
    await kysely.insertInto('audit_queue').values(bound).execute()
    expect(await stele.auditLog.sequence()).toBe(15)
    expect(await stele.audit.verify()).toMatchObject({ verified: true, size: 25 })
  })

  test('the last are taken in while another master key wraps everything', async () => {
    const place = await bed.place()
    await older(place, 5)
    const next = generateMasterKey()
    const masterKey = Buffer.from(next.bytes).toString('base64')
    const first = await place.stele({ ...still, masterKey, previousMasterKeys: [place.masterKey] })
    const { database } = first
    await Promise.all([rewrapAll(database, database.contents.masters, next), first.auditLog.sequence()])
    const stele = await place.stele({ ...still, masterKey })
    await stele.auditLog.sequence()
    expect(await takesOld(stele, { masterKey })).toBe(false)
    expect(await stele.audit.verify()).toMatchObject({ verified: true, pending: 0 })
  })

  test('those of a database that nobody has opened yet are taken in too', async () => {
    const place = await bed.place()
    const database = await place.migrated()
    const event = eventRow({ userId: '', by: operator, action: 'schema.migrated' }, Date.now())
    await database.kysely
      .insertInto('audit_events')
      .values({ ...event, details: null })
      .execute()
    const rows = [
      { id: boundId, leaves: encodeContent(event.id) },
      { id: '0-backlog-at', leaves: encodeContent('') },
    ]
    await database.kysely.insertInto('audit_queue').values(rows).execute()
    const stele = await place.stele(still)
    expect((await guardOf(database, place.masterKey)).byteLength).toBe(67)
    expect(await stele.auditLog.sequence()).toBe(1)
    expect(await stele.audit.verify()).toMatchObject({ verified: true, size: 1, pending: 0 })
  })

  test('what an earlier version has signed of them goes on, and is good for nothing afterwards', async () => {
    const place = await bed.place()
    await older(place, 25)
    const first = await place.stele(still)
    const { database } = first
    await step(first)
    const newest = (await storedRowsOf(database, 'audit_log')).at(-1)
    const end =
      (await storedRowsOf(database, 'audit_events'))
        .map(({ id }) => id)
        .sort()
        .at(-1) ?? ''
    const signed = signedRow(database.contents, boundId, encodeContent(end))
    const progress = JSON.stringify([newest?.event_id, newest?.user_id])
    const { kysely } = database
    await kysely.deleteFrom('audit_queue').execute()
    await kysely
      .insertInto('audit_queue')
      .values([signed, { id: '0-backlog-at', leaves: encodeContent(progress) }])
      .execute()
    await unmark(database, place.masterKey)
    await first.close()
    const stele = await place.stele(still)
    expect(await stele.audit.verify()).toMatchObject({ verified: true, pending: 15 })
    expect(await stele.auditLog.sequence()).toBe(15)
    await note(stele, 1)
    await stele.auditLog.sequence()
    expect(await stele.audit.verify()).toMatchObject({ verified: true, pending: 0, size: 26 })
    await expectRefused(stele, [signed])
    // Nor where the first secret is put back that did not tell of the log yet.
    await kyselyOf(stele).insertInto('audit_queue').values(signed).execute()
    await unmark(stele.database, place.masterKey)
    const again = await place.stele(still)
    await failure('audit_log_broken', step(again))
  })
}

function kyselyOf({ database }: Stele) {
  return database.kysely
}
