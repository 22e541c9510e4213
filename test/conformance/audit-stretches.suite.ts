import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Row } from '../../src/db/tables.ts'
import { newId } from '../../src/ids.ts'
import type { Stele } from '../../src/stele.ts'
import { operator } from '../../src/store/audit-events.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { withoutGuards } from '../harness/guards.ts'

/** Nothing is taken into the log but what a test says. */
const still = { audit: { sequence: false } } as const

const note = (stele: Stele) =>
  stele.auditEvents.add({ userId: 'ada', by: operator, action: 'usage.repaired' })

/** What is on record of the log being held up, the oldest first, and that all of it is proven. */
async function told(stele: Stele): Promise<Record<string, unknown>[]> {
  await stele.auditLog.sequence()
  expect(await stele.audit.verify()).toMatchObject({ verified: true, pending: 0 })
  return onRecord(stele)
}

async function onRecord({ auditEvents }: Stele): Promise<Record<string, unknown>[]> {
  const events = await auditEvents.list({ limit: 100 })
  return events
    .filter(({ action }) => action === 'audit.log_held_up' || action === 'audit.log_recovered')
    .map(({ action, severity, category, details }) => ({ action, severity, category, ...details }))
    .reverse()
}

/** Puts a row into the queue that nobody has written. Returns what takes it away again. */
async function foreign({ database: { kysely } }: Stele): Promise<() => Promise<unknown>> {
  const row: Row<'audit_queue'> = { id: newId('auditQueue'), leaves: randomBytes(90) }
  await kysely.insertInto('audit_queue').values(row).execute()
  return () => kysely.deleteFrom('audit_queue').where('id', '=', row.id).execute()
}

const heldUp = {
  action: 'audit.log_held_up',
  category: 'security',
  severity: 'critical',
  since: expect.any(Number),
  reason: expect.stringContaining('is not what was written'),
}

const recovered = { ...heldUp, action: 'audit.log_recovered', until: expect.any(Number) }

const broken = (stele: Stele) => failure('audit_log_broken', stele.auditLog.sequence())

export function auditStretchesSuite(bed: Bed): void {
  test('that the log was held up is on record once it goes on, once however many saw it and however often', async () => {
    const place = await bed.place()
    const steles = [await place.stele(still), await place.stele(still)] as const
    const [stele, other] = steles
    await note(stele)
    expect(await told(stele)).toEqual([])
    const remove = await foreign(stele)
    const before = Date.now()
    for (const one of [stele, other, stele, other]) await broken(one)
    // A list would say that what waits is not as it was written.
    const events = stele.database.kysely.selectFrom('audit_events').select('severity')
    expect(await events.where('action', '=', heldUp.action).execute()).toEqual([{ severity: 'critical' }])
    await remove()
    for (const one of steles) {
      await note(one)
      await one.auditLog.sequence()
    }
    const [first, last, ...more] = await told(other)
    expect(more).toEqual([])
    expect([first, last]).toEqual([heldUp, recovered])
    expect(last).toMatchObject({ since: first?.['since'], reason: first?.['reason'] })
    expect(Number(last?.['since'])).toBeGreaterThanOrEqual(before)
    expect(Number(last?.['until'])).toBeGreaterThanOrEqual(Number(last?.['since']))
  })

  test('each time is one of its own, also to a process that did nothing in between', async () => {
    const place = await bed.place()
    const [stele, other] = [await place.stele(still), await place.stele(still)]
    for (let turn = 0; turn < 2; turn++) {
      const remove = await foreign(stele)
      await broken(other)
      if (turn === 0) await broken(stele)
      await remove()
      await note(other)
      await other.auditLog.sequence()
    }
    await note(stele)
    await stele.auditLog.sequence()
    expect(await told(stele)).toEqual([heldUp, recovered, heldUp, recovered])
  })

  test('a process that has seen both tells the second one apart from the first, which another one ended', async () => {
    const place = await bed.place()
    const [stele, other] = [await place.stele(still), await place.stele(still)]
    const first = await foreign(stele)
    await broken(stele)
    await first()
    await note(other)
    await other.auditLog.sequence()
    const second = await foreign(stele)
    await broken(stele)
    await second()
    await stele.auditLog.sequence()
    const events = await told(stele)
    expect(events).toEqual([heldUp, recovered, heldUp, recovered])
    expect(Number(events[3]?.['since'])).toBeGreaterThanOrEqual(Number(events[1]?.['until']))
  })

  test('the process that saw it may have ended before', async () => {
    const place = await bed.place()
    const [first, stele] = [await place.stele(still), await place.stele(still)]
    const remove = await foreign(stele)
    await broken(first)
    await first.close()
    await remove()
    await note(stele)
    await stele.auditLog.sequence()
    expect(await told(stele)).toEqual([heldUp, recovered])
  })

  test('a process that saw it tells of it, whatever somebody has made of what was on record', async () => {
    const place = await bed.place()
    const stele = await place.stele(still)
    await note(stele)
    await stele.auditLog.sequence()
    const { database } = stele
    const { kysely } = database
    const remove = await foreign(stele)
    await broken(stele)
    await remove()
    const forged: Row<'audit_events'> = {
      id: newId('audit').replace(/.{4}$/, 'zzzz'),
      user_id: '',
      actor: 'audit',
      action: 'audit.log_recovered',
      category: 'security',
      severity: 'critical',
      target: null,
      outcome: 'success',
      details: null,
      commitment: null,
      created_at: Date.now() + 1_000_000,
    }
    await withoutGuards(database, async () => {
      await kysely.deleteFrom('audit_events').where('action', '=', 'audit.log_held_up').execute()
      await kysely.deleteFrom('audit_queue').execute()
      await kysely
        .insertInto('audit_events')
        .values({ ...forged, details: null })
        .execute()
    })
    await note(stele)
    await stele.auditLog.sequence()
    await withoutGuards(database, () =>
      kysely.deleteFrom('audit_events').where('id', '=', forged.id).execute(),
    )
    expect(await told(stele)).toEqual([recovered])
  })
}
