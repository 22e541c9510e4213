import { sql } from 'kysely'
import { expect, test } from 'vitest'
import {
  knownMigrations,
  migrateDown,
  migrateUp,
  migrationHistory,
  requireCurrentSchema,
} from '../../src/db/migrate.ts'
import { startChild } from '../harness/children.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

export function migrationsSuite(bed: Bed): void {
  test('applies every migration once, in order, and a second run applies none', async () => {
    const database = (await bed.place()).database()
    const names = (await knownMigrations()).map(({ name }) => name)
    expect(await migrateUp(database)).toEqual(names)
    expect(await migrateUp(database)).toEqual([])
    expect((await migrationHistory(database)).map(({ name }) => name)).toEqual(names)
  })

  test('says when each migration was applied, and undefined for those that are not', async () => {
    const database = (await bed.place()).database()
    expect((await migrationHistory(database)).every(({ appliedAt }) => appliedAt === undefined)).toBe(true)
    const before = Date.now()
    await migrateUp(database)
    for (const { appliedAt } of await migrationHistory(database)) {
      expect(appliedAt).toBeGreaterThanOrEqual(before)
      expect(appliedAt).toBeLessThanOrEqual(Date.now())
    }
  })

  test('goes down to nothing and up again to the same schema', async () => {
    const database = (await bed.place()).database()
    const names = (await knownMigrations()).map(({ name }) => name)
    await migrateUp(database)
    const schema = await database.describeSchema()
    expect(await migrateDown(database, names.length)).toEqual(names.toReversed())
    expect((await database.describeSchema()).filter(line => !line.includes('stele_migrations'))).toEqual([])
    expect(await migrateUp(database)).toEqual(names)
    expect(await database.describeSchema()).toEqual(schema)
  })

  test('going down where nothing is applied changes nothing', async () => {
    const database = (await bed.place()).database()
    expect(await migrateDown(database)).toEqual([])
  })

  test('a target of 0 applies nothing', async () => {
    const database = (await bed.place()).database()
    expect(await migrateUp(database, { target: 0 })).toEqual([])
    await failure('schema_missing', requireCurrentSchema(database))
  })

  test('refuses a schema newer than it knows, in every direction', async () => {
    const database = (await bed.place()).database()
    await migrateUp(database)
    await sql`INSERT INTO stele_migrations (id, name, applied_at) VALUES (9999, '9999-later', 1)`.execute(
      database.kysely,
    )
    const error = await failure('schema_newer', migrateUp(database))
    expect(error.message).toContain('9999')
    await failure('schema_newer', migrateDown(database))
    await failure('schema_newer', migrationHistory(database))
    await failure('schema_newer', requireCurrentSchema(database))
  })

  test('a migration that fails leaves nothing of itself behind', async () => {
    const database = (await bed.place()).database()
    await database.exclusively(async tx => {
      await sql`CREATE TABLE usage_daily (something_else integer)`.execute(tx)
    })
    const error = await failure('migration_failed', migrateUp(database))
    expect(error.message).toContain('0001-calls')
    expect(error.cause).toBeDefined()
    expect(await database.hasTable(database.kysely, 'users')).toBe(false)
    expect(await database.hasTable(database.kysely, 'usage_daily')).toBe(true)
    await failure('schema_missing', requireCurrentSchema(database))
  })

  test('a migration that failed can be applied once its cause is gone', async () => {
    const database = (await bed.place()).database()
    await database.exclusively(async tx => {
      await sql`CREATE TABLE usage_daily (something_else integer)`.execute(tx)
    })
    await failure('migration_failed', migrateUp(database))
    await sql`DROP TABLE usage_daily`.execute(database.kysely)
    await migrateUp(database)
    await requireCurrentSchema(database)
  })

  test('an unmigrated database is refused where migrating is not wanted', async () => {
    const place = await bed.place()
    await failure('schema_missing', place.stele({ migrate: false }))
  })

  test('a migrated database is accepted where migrating is not wanted', async () => {
    const place = await bed.place()
    await migrateUp(place.database())
    const stele = await place.stele({ migrate: false })
    expect(await stele.users.list()).toEqual([])
  })

  test('processes that migrate at once apply each migration once', async () => {
    const place = await bed.place()
    const children = Array.from({ length: 6 }, () => startChild('migrate.ts', place))
    for (const child of children) expect(await child.next()).toBe('ready')
    for (const child of children) child.tell('go')
    const applied = await Promise.all(children.map(child => child.next()))
    expect(await Promise.all(children.map(child => child.ended()))).toEqual([0, 0, 0, 0, 0, 0])
    const names = (await knownMigrations()).map(({ name }) => name)
    expect(applied.sort()).toEqual([[], [], [], [], [], names])
    await requireCurrentSchema(place.database())
  })
}
