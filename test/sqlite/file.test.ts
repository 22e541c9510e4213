import { randomBytes } from 'node:crypto'
import { linkSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout } from 'node:timers/promises'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { openDatabase } from '../../src/db/database.ts'
import { parseDatabaseUrl } from '../../src/db/database-url.ts'
import { prepareFile } from '../../src/db/sqlite/file.ts'
import { openStele } from '../../src/stele.ts'
import { exchange, user } from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import { sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

test('opening a database touches nothing until it is used', async () => {
  const path = join(await temporaryFolder(), 'sub', 'stele.db')
  const database = openDatabase(`sqlite:${path}`)
  expect(() => statSync(path)).toThrow('ENOENT')
  await database.close()
  expect(() => statSync(path)).toThrow('ENOENT')
})

test('the file, its log and its folder are readable by their owner alone', async () => {
  const folder = join(await temporaryFolder(), 'sub')
  const stele = await openStele({ databaseUrl: `sqlite:${join(folder, 'stele.db')}` })
  await exchange(stele, [user('q')], 'a')
  const modeOf = (path: string): number => statSync(path).mode & 0o777
  expect(modeOf(folder)).toBe(0o700)
  for (const name of ['stele.db', 'stele.db-wal', 'stele.db-shm', 'master.key'])
    expect(modeOf(join(folder, name)), name).toBe(0o600)
  await stele.close()
})

test('a store is found again with the key that lies beside it', async () => {
  const databaseUrl = `sqlite:${join(await temporaryFolder(), 'stele.db')}`
  const first = await openStele({ databaseUrl })
  const { call, request } = await exchange(first, [user('q')], 'a')
  await first.close()
  const second = await openStele({ databaseUrl })
  expect((await second.calls.exactRequest('ada', call.callId)).toString()).toBe(request)
  expect(second.hashes.chain('', 'x')).toBe(first.hashes.chain('', 'x'))
  await second.close()
})

test('commits are durable: write-ahead log, fully synchronous', async () => {
  const stele = await (await sqlitePlace()).stele()
  const pragma = async (name: string): Promise<unknown> => {
    const { rows } = await sql.raw<Record<string, unknown>>(`PRAGMA ${name}`).execute(stele.database.kysely)
    return Object.values(rows[0] ?? {})[0]
  }
  expect(await pragma('journal_mode')).toBe('wal')
  expect(await pragma('synchronous')).toBe(2)
})

test('a new file is there with its first page or not at all', async () => {
  const folder = await temporaryFolder()
  const path = join(folder, 'stele.db')
  const location = parseDatabaseUrl(`sqlite:${path}`)
  if (location.kind !== 'sqlite') throw new Error('it is no file')
  expect(prepareFile(location)).toBe(true)
  expect(statSync(path)).toMatchObject({ size: 4096, nlink: 1 })
  expect(readdirSync(folder)).toEqual(['stele.db'])
  expect(prepareFile(location)).toBe(false)
  // Killed before it let go of the name under which it was made.
  linkSync(path, `${path}.01234567.new`)
  writeFileSync(`${path}.other.new`, '')
  // A name that is gone when it is looked at: of somebody who makes the same file at this moment.
  symlinkSync(join(folder, 'nowhere'), `${path}.gone.new`)
  const stele = await openStele({ databaseUrl: `sqlite:${path}` })
  expect(statSync(path).nlink).toBe(1)
  expect(readdirSync(folder)).toContain('stele.db.other.new')
  await stele.close()
})

test('a place where no file can be made is an error that names it', async () => {
  const databaseUrl = 'sqlite:/dev/null/stele.db'
  const masterKey = randomBytes(32).toString('base64')
  const error = await failure('database_not_writable', openStele({ databaseUrl, masterKey }))
  expect(error.message).toContain('/dev/null/stele.db')
})

test('a file that is no database is an error, and is left as it is', async () => {
  const path = join(await temporaryFolder(), 'notes.txt')
  const text = 'these are my notes, not a database. '.repeat(100)
  writeFileSync(path, text)
  const masterKey = randomBytes(32).toString('base64')
  const error = await failure('database_damaged', openStele({ databaseUrl: `sqlite:${path}`, masterKey }))
  expect(error.message).toContain('not a SQLite database')
  expect(statSync(path).size).toBe(text.length)
})

test('two memory databases have nothing in common', async () => {
  const first = await openStele({ databaseUrl: 'sqlite::memory:' })
  const second = await openStele({ databaseUrl: 'sqlite::memory:' })
  await first.users.create('ada')
  expect(await second.users.list()).toEqual([])
  await first.close()
  await second.close()
})

test('a file that another process is just writing to is waited for, not given up', async () => {
  const place = await sqlitePlace()
  const database = place.database()
  await database.hasTable(database.kysely, 'users')
  const stranger = new DatabaseSync(place.databaseUrl.replace('sqlite:', ''))
  stranger.exec('BEGIN IMMEDIATE')
  const child = startChild('migrate.ts', place)
  expect(await child.next()).toBe('ready')
  child.tell('go')
  // Time to try, and to fail if it would not wait; nothing that holds depends on how long.
  await setTimeout(150)
  stranger.exec('ROLLBACK')
  stranger.close()
  expect(await child.next()).toContain('0001-calls')
})
