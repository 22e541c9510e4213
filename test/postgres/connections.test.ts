import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { sql } from 'kysely'
import pg from 'pg'
import { expect, inject, onTestFinished, test } from 'vitest'
import { openDatabase } from '../../src/db/database.ts'
import { parseDatabaseUrl } from '../../src/db/database-url.ts'
import { openWriterPool, type PostgresLocation } from '../../src/db/postgres/pools.ts'
import { Sockets } from '../../src/db/postgres/sockets.ts'
import { openStele } from '../../src/stele.ts'
import { exchange, user } from '../harness/chat.ts'
import { onServer, postgresPlace } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { ownDatabase } from '../harness/own-database.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

test('no more connections are opened than pool size and overflow allow; who waits too long is told', async () => {
  const database = (await postgresPlace()).database({ poolSize: 1, maxOverflow: 1, poolTimeout: 0.3 })
  const { kysely } = database
  let finish = (): void => undefined
  const held = new Promise<void>(resolve => {
    finish = resolve
  })
  const holders = [1, 2].map(() =>
    kysely.transaction().execute(tx => sql`SELECT 1`.execute(tx).then(() => held)),
  )
  // A third could only get a connection of its own, and there is none to get.
  const refused = await sql`SELECT 1`.execute(kysely).then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(refused).toBeInstanceOf(Error)
  expect(database.classify(refused)).toBe('unavailable')
  finish()
  await Promise.all(holders)
  await sql`SELECT 1`.execute(kysely)
})

test('opening a database contacts nobody until it is used', async () => {
  let contacts = 0
  const server = createServer(socket => {
    contacts++
    socket.destroy()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const database = openDatabase(`postgres://u:p@127.0.0.1:${port}/db`)
  await new Promise(resolve => setImmediate(resolve))
  expect(contacts).toBe(0)
  await expect(sql`SELECT 1`.execute(database.kysely)).rejects.toThrow()
  expect(contacts).toBe(1)
  await database.close()
})

test('commits wait for the disk even where the server would let them go early', async () => {
  const { url, name } = await ownDatabase()
  await onServer(`ALTER DATABASE ${name} SET synchronous_commit = off`)
  const pool = openWriterPool(parseDatabaseUrl(url) as PostgresLocation, {}, new Sockets(), 1)
  onTestFinished(() => pool.end())
  const { rows } = await pool.query("SELECT current_setting('synchronous_commit') AS value")
  expect(rows).toEqual([{ value: 'on' }])
})

test('a stricter setting for commits is left as it is', async () => {
  const { url, name } = await ownDatabase()
  await onServer(`ALTER DATABASE ${name} SET synchronous_commit = remote_apply`)
  const pool = openWriterPool(parseDatabaseUrl(url) as PostgresLocation, {}, new Sockets(), 1)
  onTestFinished(() => pool.end())
  const { rows } = await pool.query("SELECT current_setting('synchronous_commit') AS value")
  expect(rows).toEqual([{ value: 'remote_apply' }])
})

test('connections that the server cuts, again and again, lose and double no call', async () => {
  const { url, name } = await ownDatabase()
  const masterKey = randomBytes(32).toString('base64')
  const stele = await openStele({ databaseUrl: url, masterKey, retryFor: 15_000 })
  onTestFinished(() => stele.close())
  await stele.recorder.start()
  const calls = Array.from({ length: 150 }, (_, index) => exchange(stele, [user(`question ${index}`)], 'a'))
  for (let cut = 0; cut < 5; cut++) {
    await onServer(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`)
    await Promise.race(calls.slice(cut * 30))
  }
  await Promise.all(calls)
  // Over connections that were not cut: this store finds out with the next statement that one is.
  const witness = await openStele({ databaseUrl: url, masterKey })
  onTestFinished(() => witness.close())
  expect(await countOf(witness, 'llm_requests')).toBe(150)
  expect(await countOf(witness, 'llm_responses')).toBe(150)
  expect(await countOf(witness, 'messages')).toBe(300)
  expect((await rowsOf(witness, 'usage_daily')).map(row => row.calls)).toEqual([150])
})

test.for<[string, Partial<Pick<URL, 'port' | 'password' | 'pathname'>>]>([
  ['a port where nobody listens', { port: '1' }],
  ['a wrong password', { password: 'n0t-the-password' }],
  ['a database that does not exist', { pathname: '/nowhere' }],
])('%s is an unavailable store, told without the password', async ([, change]) => {
  const url = Object.assign(new URL(inject('postgresUrl')), change)
  const masterKey = randomBytes(32).toString('base64')
  const error = await failure(
    'store_unavailable',
    openStele({ databaseUrl: url.href, masterKey, poolTimeout: 2 }),
  )
  expect(error.message).not.toContain('n0t-the-password')
})

test('to wait too long at the start for another process that starts is an unavailable store', async () => {
  const { url } = await ownDatabase()
  const database = openDatabase(url, {})
  onTestFinished(() => database.close())
  const options = encodeURIComponent('-c lock_timeout=50')
  const masterKey = randomBytes(32).toString('base64')
  await database.exclusively(() =>
    failure('store_unavailable', openStele({ databaseUrl: `${url}?options=${options}`, masterKey })),
  )
})

test('numbers beyond 32 bits are numbers', async () => {
  const { kysely } = (await postgresPlace()).database()
  const { rows } =
    await sql`SELECT 9007199254740991::bigint AS big, count(*) AS few, sum(3::bigint) AS sum FROM generate_series(1, 3)`.execute(
      kysely,
    )
  expect(rows).toEqual([{ big: Number.MAX_SAFE_INTEGER, few: 3, sum: 9 }])
  expect(pg.types.getTypeParser(20)('1')).toBe('1')
})
