import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventsIn, eventsOf, recordCall } from '../harness/audit.ts'
import { postgresPlace, temporaryFolder } from '../harness/databases.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'

const quick = { poolTimeout: 2, commitTimeout: 1 } as const

test('what is recorded while the database is away is in the files when it is back, once', {
  timeout: 60_000,
}, async () => {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const folder = join(await temporaryFolder(), 'log')
  const stele = await place.stele({
    ...quick,
    databaseUrl: link.databaseUrl,
    auditPlaces: { folder, failClosed: true, maxLag: 1_500 },
  })
  await recordCall(stele)
  await expect.poll(() => stele.auditPlaces.files?.written, { timeout: 10_000 }).toBeGreaterThan(0)
  expect(stele.auditPlaces.refusal()).toBeUndefined()
  link.cut()
  for (let count = 0; count < 5; count++) await recordCall(stele)
  await expect.poll(() => stele.auditPlaces.files?.state, { timeout: 10_000 }).toBe('log_failing')
  await expect.poll(() => stele.auditPlaces.refusal()?.code, { timeout: 10_000 }).toBe('audit_unavailable')
  link.restore()
  await expect.poll(() => stele.recorder.spool?.isSpooling, { timeout: 20_000 }).toBe(false)
  await expect.poll(() => stele.auditPlaces.refusal(), { timeout: 10_000 }).toBeUndefined()
  await stele.close()
  const witness = await place.stele()
  const events = await eventsOf(witness)
  expect(events.length).toBeGreaterThanOrEqual(6)
  expect((await eventsIn(folder)).toSorted()).toEqual(events)
})
