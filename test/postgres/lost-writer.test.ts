import { sql } from 'kysely'
import pg from 'pg'
import { expect, inject, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import { begin, chatBody, user } from '../harness/chat.ts'
import { postgresPlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'
import { rowsOf } from '../harness/rows.ts'

test('what a process has locked that is cut off in the middle of a commit is soon free for others', async () => {
  const place = await postgresPlace()
  const link = await linkToPostgres()
  const lost = await place.stele({ databaseUrl: link.databaseUrl, commitTimeout: 1 })
  const other = await place.stele()
  await other.recorder.start()
  const expiresAt = Date.now() + 3_600_000
  const claim = { keyHash: 'k', requestHash: 'r', expiresAt }
  const row = { user_id: 'ada', key_hash: 'k', request_hash: 'r', expires_at: expiresAt }
  const commit = lost.database.batch(async batch => {
    await batch.insert('idempotency_keys', [{ ...row, call_id: newId('call') }])
    link.hang()
    await batch.insert('idempotency_keys', [{ ...row, key_hash: 'k2', call_id: newId('call') }])
  })
  await failure('store_unavailable', commit)
  const call = await begin(other, chatBody([user('q')]), { claim })
  expect((await rowsOf(other, 'idempotency_keys')).map(key => key.call_id)).toEqual([call.callId])
})

test('a transaction that the server ends because it takes too long is one to be tried again', async () => {
  const { classify } = (await postgresPlace()).database()
  const client = new pg.Client({ connectionString: inject('postgresUrl') })
  client.on('error', () => undefined)
  await client.connect()
  const ended = client.query('SET transaction_timeout = 20; BEGIN; SELECT pg_sleep(60)')
  const cause: unknown = await ended.catch((error: unknown) => error)
  expect(cause).toMatchObject({ code: '25P04' })
  expect(classify(cause)).toBe('unavailable')
  // What it says of one that is idle is mostly lost with the connection.
  const idle = Object.assign(new pg.DatabaseError('terminating connection', 0, 'error'), { code: '25P03' })
  expect(classify(idle)).toBe('unavailable')
})

test('the server asks whether its clients are still there, as often as the URL says where it does', async () => {
  const place = await postgresPlace()
  const settings = async (databaseUrl: string): Promise<unknown> => {
    const { kysely } = (await place.stele({ databaseUrl })).database
    const { rows } = await sql`SELECT current_setting('tcp_keepalives_idle') AS idle,
      current_setting('tcp_keepalives_interval') AS interval, current_setting('tcp_keepalives_count') AS count`.execute(
      kysely,
    )
    return rows[0]
  }
  const usual = { idle: '30', interval: '10', count: '3' }
  expect(await settings(place.databaseUrl)).toEqual(usual)
  const options = encodeURIComponent('-c tcp_keepalives_idle=7')
  expect(await settings(`${place.databaseUrl}?options=${options}`)).toEqual({ ...usual, idle: '7' })
})
