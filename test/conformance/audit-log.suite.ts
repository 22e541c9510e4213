import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { doAuditStep } from '../../src/audit/log/do-step.ts'
import { parseNote } from '../../src/audit/note.ts'
import { knownMigrations, migrateDown, migrateUp } from '../../src/db/migrate.ts'
import { lowestIdAt, newId } from '../../src/ids.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import type { Stele } from '../../src/stele.ts'
import { addEvents, eventRow, operator } from '../../src/store/audit-events.ts'
import { genuineIn, signedRow } from '../../src/store/audit-queue.ts'
import { removeLogKeys, unmark } from '../harness/begun-log.ts'
import { exchange, user } from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import type { Bed, Place } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { provenLog } from '../harness/proven-log.ts'
import { countOf, rowsOf, storedRowsOf } from '../harness/rows.ts'

/** Nothing is taken into the log but what a test says. */
const still = { audit: { sequence: false } } as const

async function note(stele: Stele, count: number, userId = 'ada'): Promise<void> {
  const { database } = stele
  const events = Array.from({ length: count }, (_, index) =>
    eventRow({ userId, by: operator, action: 'usage.repaired', details: { index } }, Date.now()),
  )
  await database.kysely.transaction().execute(tx => addEvents(tx, database.contents, ...events))
}

const namesIn = async (stele: Stele): Promise<string[]> =>
  (await rowsOf(stele, 'audit_events')).map(({ id, user_id }) => `${id} ${user_id}`).sort()

/** Takes the log away from a database, and puts it there again, as if its events were from before. */
async function makeOld(place: Place): Promise<void> {
  const database = place.database()
  await removeLogKeys(database)
  const count = (await knownMigrations()).filter(({ id }) => id >= 23).length
  await migrateDown(database, count)
  await migrateUp(database)
  await unmark(database, place.masterKey)
  await database.close()
}

export function auditLogSuite(bed: Bed): void {
  test('whatever writes an event queues it, and the log takes each in once', async () => {
    const stele = await (await bed.place()).stele(still)
    await exchange(stele, [user('one')], 'to one')
    await stele.saveInteraction({
      userId: 'bob',
      model: 'm',
      messages: [user('two')],
      responseText: 'to two',
    })
    await stele.apiKeys.create({ userId: 'ada' })
    await stele.limits.set({ user: 'eve' }, { requestsPerDay: 1 })
    await exchange(stele, [user('first')], 'the last', { userId: 'eve' })
    await failure('rate_limit_exceeded', exchange(stele, [user('second')], 'none', { userId: 'eve' })).catch(
      () => undefined,
    )
    await stele.logins.createAccount(
      { userId: 'kim', role: 'admin', password: 'a password of kim' },
      operator,
    )
    await stele.retention.set('ada', { contentDays: 7 })
    await stele.auditEvents.add({ userId: '', by: operator, action: 'usage.repaired' })
    await stele.erase('bob')
    const before = await provenLog(stele)
    expect(before).toMatchObject({ logged: [], outside: [], checkpoints: [] })
    expect(before.queued).toBe(await countOf(stele, 'audit_events'))
    expect(await stele.auditLog.sequence()).toBe(before.queued)
    const after = await provenLog(stele)
    expect(after).toMatchObject({ outside: [], queued: 0, checkpoints: [before.queued] })
    expect(after.logged.toSorted()).toEqual(await namesIn(stele))
    const actions = new Set((await rowsOf(stele, 'audit_events')).map(({ action }) => action))
    for (const action of ['call.begun', 'call.settled', 'call.refused', 'limit.set', 'user.erased'])
      expect(actions).toContain(action)
  })

  test('steps go on where the one before has ended, over the borders of tiles', async () => {
    const stele = await (await bed.place()).stele(still)
    for (let part = 0; part < 6; part++) await note(stele, 97)
    const order = (await stele.auditLog.queued()).map(({ eventId, userId }) => `${eventId} ${userId}`)
    const sizes: number[] = []
    for (let isDone = false; !isDone; ) {
      const step = await doAuditStep(stele.database, { limit: 150, published: [] })
      if (step.checkpoint !== undefined) sizes.push(step.checkpoint.size)
      isDone = step.isDone
    }
    expect(sizes).toEqual([194, 388, 582])
    const { logged, checkpoints } = await provenLog(stele)
    expect(checkpoints).toEqual(sizes)
    expect(logged).toEqual(order)
    expect(await stele.auditLog.sequence()).toBe(0)
    expect((await provenLog(stele)).checkpoints).toEqual(sizes)
    const [found] = await stele.auditLog.find(order[300]?.split(' ')[0] ?? '')
    expect(found).toMatchObject({ index: 300, event: { action: 'usage.repaired', details: '{"index":9}' } })
    expect(await stele.auditLog.events({ from: 580, to: 600 })).toMatchObject([
      { index: 580 },
      { index: 581 },
    ])
  })

  test('several processes write and sequence side by side: nothing is lost, nothing is there twice', async () => {
    const place = await bed.place()
    const steles = await Promise.all([place.stele(), place.stele(), place.stele()])
    await Promise.all(
      steles.map(async (stele, process) => {
        for (let turn = 0; turn < 12; turn++) {
          await Promise.all([
            stele.saveInteraction({
              userId: `user-${process}`,
              model: 'm',
              messages: [user(`question ${turn}`)],
              responseText: 'answer',
            }),
            note(stele, 10, `user-${process}`),
          ])
          if (turn % 4 === process) await stele.auditLog.sequence()
        }
      }),
    )
    const [stele] = steles
    await expect.poll(() => stele?.auditLog.lag(), { timeout: 10_000 }).toBe(0)
    for (const one of steles) {
      const { logged, outside } = await provenLog(one)
      expect(outside).toEqual([])
      expect(logged).toHaveLength(3 * 12 * 12)
    }
  })

  test('an event is in the log by itself soon, and when the store is closed', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await note(stele, 3)
    await expect.poll(() => stele.auditLog.latest(), { timeout: 5_000 }).toMatchObject({ size: 3 })
    expect(await stele.auditLog.lag()).toBe(0)
    await note(stele, 2)
    await stele.close()
    const later = await place.stele(still)
    expect(await later.auditLog.latest()).toMatchObject({ size: 5 })
    await note(later, 1)
    await later.close()
    expect(await (await place.stele(still)).auditLog.queued()).toHaveLength(1)
  })

  test('events from before there was a log are taken in first, in steps, each once', async () => {
    const place = await bed.place()
    const first = await place.stele(still)
    for (const count of [9, 9, 7]) await note(first, count)
    await first.auditEvents.add({
      userId: 'bob',
      by: operator,
      action: 'usage.repaired',
      details: { told: 'app.early' },
    })
    const old = await namesIn(first)
    await first.close()
    await makeOld(place)
    const stele = await place.stele(still)
    await note(stele, 4)
    // As an import brings it: older than the newest of those that were here, and queued.
    const early = {
      ...eventRow({ userId: 'eve', by: operator, action: 'app.early' }, 1),
      id: lowestIdAt('audit', 1),
    }
    const { database } = stele
    await database.kysely.transaction().execute(tx => addEvents(tx, database.contents, early))
    const step = () => doAuditStep(database, { limit: 10, published: [] })
    expect(await step()).toMatchObject({ sequenced: 10, isDone: false })
    expect(await stele.auditLog.find(early.id)).toMatchObject([{ index: 0, userId: 'eve' }])
    await step()
    expect(await stele.auditLog.sequence()).toBe(11)
    const { logged, outside } = await provenLog(stele)
    expect(outside).toEqual([])
    expect(logged.slice(0, 27)).toEqual([`${early.id} eve`, ...old])
    expect(logged).toHaveLength(31)
  })

  test('what is queued twice is in the log once', async () => {
    const stele = await (await bed.place()).stele(still)
    await note(stele, 3)
    const { contents } = stele.database
    const [row] = await storedRowsOf(stele.database, 'audit_queue')
    const queued = row && genuineIn(contents, row)
    const again = signedRow(contents, newId('auditQueue'), queued ?? new Uint8Array(0))
    await stele.database.kysely.insertInto('audit_queue').values(again).execute()
    expect(await stele.auditLog.sequence()).toBe(3)
    await stele.database.kysely.insertInto('audit_queue').values(again).execute()
    expect(await stele.auditLog.sequence()).toBe(0)
    expect(await provenLog(stele)).toMatchObject({ outside: [], queued: 0, checkpoints: [3] })
  })

  test('imported events are in the log of where they are imported', async () => {
    const source = await (await bed.place()).stele()
    const target = await (await bed.place()).stele(still)
    await exchange(source, [user('one')], 'to one')
    await note(source, 3)
    let lines = ''
    await exportLines(source.database, async more => {
      lines += more
    })
    await importLines(target.database, target.hashes, Readable.from([Buffer.from(lines)]))
    expect(await target.auditLog.sequence()).toBe(5)
    expect((await provenLog(target)).logged).toHaveLength(5)
  })

  test('a new key signs from now on, once together with the one before, whose private half is gone then', async () => {
    const stele = await (await bed.place()).stele(still)
    const signers = async (): Promise<string[]> =>
      parseNote((await stele.auditLog.latest())?.note ?? '').signatures.map(({ keyId }) => keyId)
    const [first] = await stele.auditLog.keys()
    await note(stele, 1)
    await stele.auditLog.sequence()
    expect(await signers()).toEqual([first?.id])
    // One that never signs anything.
    await stele.auditLog.rotateKey()
    const { vkey, retired } = await stele.auditLog.rotateKey()
    const keys = await stele.auditLog.keys()
    expect(keys.map(({ retiredAt }) => retiredAt === undefined)).toEqual([false, false, true])
    expect(keys.map(one => one.vkey).slice(1)).toEqual([retired, vkey])
    await stele.auditLog.sequence()
    expect((await signers()).toSorted()).toEqual([first?.id, keys[2]?.id].toSorted())
    const secrets = (await storedRowsOf(stele.database, 'secrets')).map(({ id }) => id)
    expect(secrets.filter(id => id.startsWith('audit-key:'))).toEqual([`audit-key:${keys[2]?.id}`])
    await note(stele, 1)
    await stele.auditLog.sequence()
    expect(await signers()).toEqual([keys[2]?.id])
    expect(await provenLog(stele)).toMatchObject({ outside: [], queued: 0, checkpoints: [1, 3, 4] })
    expect(
      (await rowsOf(stele, 'audit_events')).filter(({ action }) => action === 'audit.key_rotated'),
    ).toHaveLength(2)
  })

  test('a log is called what it was called first', async () => {
    const place = await bed.place()
    const stele = await place.stele({ audit: { origin: 'log.example/stele' } })
    expect(stele.auditLog.origin).toBe('log.example/stele')
    await note(stele, 1)
    await stele.close()
    const again = await place.stele()
    expect((await again.auditLog.latest())?.note).toMatch(/^log\.example\/stele\n1\n/)
    await failure('config_invalid', place.stele({ audit: { origin: 'another' } }))
    await failure('config_invalid', place.stele({ audit: { origin: 'with white space' } }))
  })

  test('killed at any moment, it leaves a log that verifies and goes on', async () => {
    const place = await bed.place()
    const stele = await place.stele(still)
    let least = 0
    for (let round = 0; round < 3; round++) {
      const children = ['a', 'b'].map(name =>
        startChild('sequence-events.ts', place, { name: `${name}${round}` }),
      )
      await Promise.all(children.map(child => child.next()))
      const turns = 1 + round * 2
      for (let turn = 0; turn < turns; turn++) await children[0]?.next()
      least += 5 * (turns + 2)
      await Promise.all(children.map(child => child.kill()))
      const { outside, logged } = await provenLog(stele)
      expect(outside).toEqual([])
      expect(logged.length).toBeGreaterThanOrEqual(least)
    }
    await stele.auditLog.sequence()
    expect(await provenLog(stele)).toMatchObject({ outside: [], queued: 0 })
  })
}
