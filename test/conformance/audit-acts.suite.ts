import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { resolveConfig } from '../../src/config.ts'
import { migrateDown, migrateUp } from '../../src/db/migrate.ts'
import { noteConfiguration } from '../../src/gateway/noted-configuration.ts'
import { rotateDataKey } from '../../src/moving/rotate-data-key.ts'
import { rotateMasterKey } from '../../src/moving/rotate-master-key.ts'
import type { Stele } from '../../src/stele.ts'
import { notingSchema } from '../../src/store/audit-events.ts'
import { exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'

const actionsOf = async (stele: Stele, start: string): Promise<string[]> =>
  (await stele.auditEvents.list({ limit: 1_000 }))
    .map(({ action }) => action)
    .filter(action => action.startsWith(start))
    .reverse()

export function auditActsSuite(bed: Bed): void {
  test('migrations of a record are on record, and those that make a database are not', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    expect(await actionsOf(stele, 'schema.')).toEqual([])
    const { database } = stele
    const undone = await migrateDown(database, 1, notingSchema(database, 'schema.reverted'))
    const made = await migrateUp(database, { onChange: notingSchema(database, 'schema.migrated') })
    expect(made).toEqual(undone)
    const events = await stele.auditEvents.list({ category: 'system' })
    expect(events.map(({ action, target }) => [action, target])).toEqual([
      ['schema.migrated', made[0]],
      ['schema.reverted', made[0]],
    ])
    // Its events went with the log; what is left of the way back is a schema without a place for them.
    await migrateDown(database, 2, notingSchema(database, 'schema.reverted'))
    expect(await migrateUp(database)).toHaveLength(2)
  })

  test('other settings than last time are on record, and no secret of them', async () => {
    const stele = await (await bed.place()).stele()
    const started = (port: number) =>
      noteConfiguration(
        stele,
        resolveConfig(
          {
            port,
            apiKey: 'sk-heliotrope-7731-abcdef',
            providers: {
              p: { baseUrl: 'http://127.0.0.1:1', apiKey: 'heliotrope', headers: { x: 'heliotrope' } },
            },
          },
          {},
        ),
      )
    await started(1)
    await started(1)
    await started(2)
    const events = await stele.auditEvents.list({ action: 'configuration.changed' })
    expect(events.map(({ details }) => details?.['settings'])).toMatchObject([{ port: 2 }, { port: 1 }])
    expect(JSON.stringify(events)).not.toContain('heliotrope')
  })

  test('new keys of users and of the store are on record', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await exchange(stele, [user('question')], 'answer', { userId: 'ada' })
    await rotateDataKey(stele, 'ada')
    expect(await actionsOf(stele, 'data_key.')).toEqual(['data_key.rotation_begun', 'data_key.rotated'])
    const masterKey = randomBytes(32).toString('base64')
    const rotating = await place.stele({ masterKey, previousMasterKeys: [place.masterKey] })
    await rotateMasterKey(rotating.database, rotating.masterKeys)
    expect(await actionsOf(rotating, 'master_key.')).toEqual([
      'master_key.rotation_begun',
      'master_key.rotated',
    ])
  })

  test('a call of somebody who is being erased is refused on record', async () => {
    const stele = await (await bed.place()).stele()
    await exchange(stele, [user('question')], 'answer', { userId: 'ada' })
    await stele.database.kysely.updateTable('data_keys').set({ wrapped_key: null, destroyed_at: 1 }).execute()
    await stele.database.kysely.updateTable('users').set({ status: 'erasing', erased_at: 1 }).execute()
    stele.database.contents.ring.forget('ada')
    await expect(exchange(stele, [user('more')], 'answer', { userId: 'ada' })).rejects.toThrow()
    const [event] = await stele.auditEvents.list({ action: 'call.refused' })
    expect(event).toMatchObject({ userId: 'ada', outcome: 'denied', details: { code: 'user_erasing' } })
  })
}
