import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { knownMigrations, migrateDown, migrateUp } from '../../src/db/migrate.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import { rotateDataKey } from '../../src/moving/rotate-data-key.ts'
import { rotateMasterKey } from '../../src/moving/rotate-master-key.ts'
import { encodeContent } from '../../src/privacy/content.ts'
import { parseMasterKey } from '../../src/privacy/master-key.ts'
import type { Stele } from '../../src/stele.ts'
import { operator } from '../../src/store/audit-events.ts'
import { openSecret } from '../../src/store/secrets.ts'
import { removeLogKeys } from '../harness/begun-log.ts'
import { exchange, user } from '../harness/chat.ts'
import type { Bed, Place } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { withoutGuards } from '../harness/guards.ts'
import { inBatch, rowsOf, storedRowsOf } from '../harness/rows.ts'

const secret = 'heliotrope-7731'

const note = (stele: Stele, userId: string, details: object) =>
  stele.auditEvents.add({ userId, by: operator, action: 'usage.repaired', details: { ...details } })

const told = async (stele: Stele): Promise<unknown[]> =>
  (await stele.auditEvents.list({ action: 'usage.repaired', limit: 100 })).map(({ details }) => details)

/** What stands in the column, newest first. */
const stored = async (stele: Stele): Promise<Buffer[]> =>
  (await storedRowsOf(stele.database, 'audit_events')).flatMap(({ action, details }) =>
    action === 'usage.repaired' && details !== null ? [Buffer.from(details as unknown as Uint8Array)] : [],
  )

async function put(stele: Stele, id: string, details: Uint8Array): Promise<void> {
  const { kysely } = stele.database
  await withoutGuards(stele.database, () =>
    sql`UPDATE audit_events SET details = ${Buffer.from(details)} WHERE id = ${id}`.execute(kysely),
  )
}

export function eventsSuite(bed: Bed): void {
  test.each([
    ['encrypted', 0x04, false],
    ['hashed', 0x04, false],
    ['plain', 0x06, true],
  ] as const)(
    'in mode %s what events tell is sealed, and stays readable',
    async (contentMode, form, shows) => {
      const place = await bed.place()
      const stele = await place.stele({ contentMode })
      for (const userId of ['', 'ada']) await note(stele, userId, { reason: secret })
      const values = await stored(stele)
      expect(values.map(value => value[0])).toEqual([form, form])
      expect(values.map(value => value.includes(secret))).toEqual([shows, shows])
      for (const one of [stele, await place.stele({ contentMode: 'encrypted' })])
        expect(await told(one)).toEqual([{ reason: secret }, { reason: secret }])
      expect(await storedRowsOf(stele.database, 'data_keys')).toEqual([])
    },
  )

  test('one that was changed, cut, moved to another event or made plain raises', async () => {
    const stele = await (await bed.place()).stele()
    for (const userId of ['ada', 'ada', 'bob'])
      await note(stele, userId, { reason: `${secret} of ${userId}` })
    const rows = (await storedRowsOf(stele.database, 'audit_events')).filter(
      ({ action }) => action === 'usage.repaired',
    )
    const [first, second, third] = rows.map(({ id, details }) => ({
      id,
      details: Buffer.from(details as unknown as Uint8Array),
    }))
    if (first === undefined || second === undefined || third === undefined) throw new Error('too few')
    const changed = Buffer.from(first.details)
    changed[40] = (changed[40] ?? 0) ^ 1
    const plain = encodeContent('{"reason":"none"}')
    for (const bad of [changed, first.details.subarray(0, -1), second.details, third.details, plain]) {
      await put(stele, first.id, bad)
      await failure('content_unreadable', told(stele))
    }
    await put(stele, first.id, first.details)
    expect(await told(stele)).toHaveLength(3)
    await withoutGuards(stele.database, () =>
      sql`UPDATE audit_events SET user_id = 'eve' WHERE id = ${first.id}`.execute(stele.database.kysely),
    )
    await failure('audit_log_broken', told(stele))
  })

  test('they outlast the erasure of whom they tell of, a new data key and a new master key', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await exchange(stele, [user('question')], 'answer', { userId: 'ada' })
    await note(stele, 'ada', { reason: secret })
    const before = await stored(stele)
    await rotateDataKey(stele, 'ada')
    expect(await stored(stele)).toEqual(before)
    await stele.erase('ada', { reason: 'as asked' })
    const [erased] = await stele.auditEvents.list({ action: 'user.erased', limit: 1 })
    expect(erased?.details).toMatchObject({ reason: 'as asked' })
    expect((await stele.users.get('ada'))?.status).toBe('erased')
    const masterKey = randomBytes(32).toString('base64')
    const rotating = await place.stele({ masterKey, previousMasterKeys: [place.masterKey] })
    await rotateMasterKey(rotating.database, rotating.masterKeys)
    expect(await told(await place.stele({ masterKey }))).toEqual([{ reason: secret }])
  })

  test('exported they are readable, and imported they are sealed anew', async () => {
    const [source, target] = [await (await bed.place()).stele(), await (await bed.place()).stele()]
    await note(source, 'ada', { reason: secret })
    let text = ''
    await exportLines(source.database, async lines => {
      text += lines
    })
    expect(text).toContain(secret)
    const bytes = (async function* () {
      yield Buffer.from(text)
    })()
    await importLines(target.database, target.hashes, bytes)
    expect(await told(target)).toEqual([{ reason: secret }])
    expect((await stored(target)).map(value => value[0])).toEqual([0x04])
    expect(await stored(target)).not.toEqual(await stored(source))
  })

  test('those from before stay readable where there are any, and what comes is sealed', async () => {
    const place = await bed.place()
    await oldEvents(place, '{"reason":"old"}')
    const stele = await place.stele()
    await note(stele, 'ada', { reason: 'new' })
    await stele.auditLog.sequence()
    expect(await told(stele)).toEqual([{ reason: 'new' }, { reason: 'old' }])
    expect((await stored(stele)).map(value => value[0]).sort()).toEqual([0x01, 0x04])
    expect((await rowsOf(stele, 'audit_events')).map(({ details }) => details)).toContain('{"reason":"old"}')

    const other = await bed.place()
    await oldEvents(other, undefined)
    const none = await other.stele()
    await note(none, 'ada', { reason: 'new' })
    const [event] = await none.auditEvents.list({ action: 'usage.repaired', limit: 1 })
    await put(none, event?.id ?? '', encodeContent('{"reason":"made up"}'))
    await failure('content_unreadable', told(none))
  })

  test('nobody makes plain ones acceptable by taking away the key of the others', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await note(stele, 'ada', { reason: 'old' })
    // What waits for the log could not be read at all.
    await stele.auditLog.sequence()
    const [event] = await stele.auditEvents.list({ action: 'usage.repaired', limit: 1 })
    await put(stele, event?.id ?? '', encodeContent('{"reason":"made up"}'))
    await inBatch(stele, batch => batch.remove('secrets', ['id'], [{ id: 'audit-events' }]))
    await failure('content_unreadable', told(await place.stele()))
  })

  test('going back is possible until anything is sealed', async () => {
    const place = await bed.place()
    await oldEvents(place, '{"reason":"old"}')
    const database = await place.migrated()
    const above = (await knownMigrations()).filter(({ id }) => id >= 16).length
    expect((await migrateDown(database, above)).at(-1)).toBe('0016-audit-details')
    const { rows } = await sql<{ details: string }>`SELECT details FROM audit_events`.execute(database.kysely)
    expect(rows).toEqual([{ details: '{"reason":"old"}' }])
    const stele = await place.stele()
    await note(stele, 'ada', { reason: 'new' })
    await removeLogKeys(database)
    const error = await failure('migration_failed', migrateDown(database, above))
    expect(error.message).toContain('content_is_encrypted')
  })
}

/** A database as it was before events were sealed, with one event of `details`. */
async function oldEvents(place: Place, details: string | undefined): Promise<void> {
  const database = place.database()
  await migrateUp(database, { target: 15 })
  const master = parseMasterKey(place.masterKey)
  const make = () => randomBytes(32)
  await openSecret(database, 'conversation-hashes', () => master, make)
  await sql`INSERT INTO audit_events (user_id, id, actor, action, category, severity, outcome, details, created_at)
    VALUES ('ada', 'audit_01h455vb4pex5vsknk084sn02q', 'operator', 'usage.repaired', 'security', 'info', 'success', ${details ?? null}, 1)`.execute(
    database.kysely,
  )
}
