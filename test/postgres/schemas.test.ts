import { sql } from 'kysely'
import { expect, inject, test } from 'vitest'
import { openDatabase } from '../../src/db/database.ts'
import { exchange, user } from '../harness/chat.ts'
import { type Place, postgresPlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

test('two stores in one database, each in its schema, have nothing in common', async () => {
  const [one, other] = [await postgresPlace(), await postgresPlace()]
  expect(one.databaseUrl).toBe(other.databaseUrl)
  const [first, second] = [await one.stele(), await other.stele()]
  const { call } = await exchange(first, [user('q')], 'a')
  expect(await second.calls.list()).toEqual([])
  expect(await second.users.list()).toEqual([])
  expect(await second.calls.find(call.callId)).toBeUndefined()
  await exchange(second, [user('q')], 'b')
  expect(await first.calls.list()).toHaveLength(1)
  expect(first.hashes.chain('', 'x')).not.toBe(second.hashes.chain('', 'x'))
})

test('a schema is made when it is missing, and only by migrating', async () => {
  const place = await postgresPlace()
  await failure('schema_missing', place.stele({ migrate: false }))
  expect(await schemaExists(place)).toBe(false)
  await place.stele()
  expect(await schemaExists(place)).toBe(true)
})

test('the live schema reads the same in every schema', async () => {
  const [one, other] = [await postgresPlace(), await postgresPlace()]
  const [first, second] = [await one.stele(), await other.stele()]
  expect(await first.database.describeSchema()).toEqual(await second.database.describeSchema())
})

test.for(['Upper', '1st', 'a b', 'a;b', 'a"b', '', 'x'.repeat(64)])(
  'the schema name %j is refused',
  async schema => {
    await failure('config_invalid', () => openDatabase(inject('postgresUrl'), { schema }))
  },
)

test('options in the URL hold beside the schema, and do not take its place', async () => {
  const place = await postgresPlace()
  const options = encodeURIComponent('-c statement_timeout=54321')
  const stele = await place.stele({ databaseUrl: `${place.databaseUrl}?options=${options}` })
  await exchange(stele, [user('q')], 'a')
  const { rows } = await sql<{ schema: string; timeout: string }>`
    SELECT current_schema() AS schema, current_setting('statement_timeout') AS timeout`.execute(
    stele.database.kysely,
  )
  expect(rows).toEqual([{ schema: place.schema, timeout: '54321ms' }])
  expect(await schemaExists(place)).toBe(true)
  expect(await (await place.stele()).calls.list()).toHaveLength(1)
})

async function schemaExists(place: Place): Promise<boolean> {
  const { rows } = await sql`SELECT 1 FROM pg_namespace WHERE nspname = ${place.schema}`.execute(
    place.database().kysely,
  )
  return rows.length > 0
}
