import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { openDatabase } from '../../src/db/database.ts'
import { backUp, inspectBackup } from '../../src/moving/backup.ts'
import { restoreBackup } from '../../src/moving/restore.ts'
import { openStele, type Stele } from '../../src/stele.ts'
import { assistant, chatBody, completionBody, exchange, reproduced, user } from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import { memoryPlace, type Place, postgresPlace, sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { recordOddities } from '../harness/odd-record.ts'
import { rowsOf } from '../harness/rows.ts'

const pathOf = ({ databaseUrl }: Place): string => databaseUrl.replace('sqlite:', '')

/** A backup of a store with one exchange, in a folder of its own, and that store, closed. */
async function backedUp(): Promise<{ place: Place; path: string; callId: string }> {
  const place = await sqlitePlace()
  const path = join(await temporaryFolder(), 'backup.db')
  const stele = await place.stele()
  const { call } = await exchange(stele, [user('keep this')], 'kept')
  await stele.backup(path)
  await stele.close()
  return { place, path, callId: call.callId }
}

/** Opens a store at a path for the length of some work. */
async function at<R>(path: string, { masterKey }: Place, work: (stele: Stele) => Promise<R>): Promise<R> {
  const stele = await openStele({ databaseUrl: `sqlite:${path}`, masterKey })
  try {
    return await work(stele)
  } finally {
    await stele.close()
  }
}

async function restored(path: string, to: string, overwrite = false): Promise<unknown> {
  const target = openDatabase(`sqlite:${to}`)
  try {
    return await restoreBackup(path, target, { overwrite })
  } finally {
    await target.close()
  }
}

test('a backup made under load is whole: every call in it has all that belongs to it', {
  timeout: 120_000,
}, async () => {
  const place = await sqlitePlace()
  const path = join(await temporaryFolder(), 'backup.db')
  const child = startChild('record-calls.ts', place)
  await child.next()
  const reader = new DatabaseSync(pathOf(place), { readOnly: true })
  const callsNow = (): number => Number(reader.prepare('SELECT count(*) AS n FROM llm_requests').get()?.['n'])
  const before = callsNow()
  let after = 0
  const contents = await backUp(place.database(), path, {
    onProgress() {
      // The first part is copied, the rest is not: the other process commits meanwhile.
      while (after < before + 100) after = callsNow()
    },
  })
  await child.kill()
  reader.close()
  expect(contents.calls).toBeGreaterThanOrEqual(before)
  expect(contents.calls).toBeLessThan(after)
  expect(contents.bytes).toBe((await stat(path)).size)
  if (process.platform !== 'win32') expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect(await readdir(dirname(path))).toEqual(['backup.db', 'backup.db.keys'])
  const plain = new DatabaseSync(path)
  expect(Object.values(plain.prepare('PRAGMA integrity_check').get() ?? {})).toEqual(['ok'])
  plain.close()
  const to = join(await temporaryFolder(), 'restored.db')
  await restored(path, to)
  await at(to, place, async stele => {
    const responses = await rowsOf(stele, 'llm_responses')
    const usage = await rowsOf(stele, 'usage_daily')
    expect(usage.reduce((sum, row) => sum + row.calls, 0)).toBe(responses.length)
    const settled = (await rowsOf(stele, 'audit_events')).filter(({ action }) => action === 'call.settled')
    expect(settled).toHaveLength(responses.length)
    expect((await rowsOf(stele, 'messages')).length).toBe(contents.messages)
    // Of a call under way there is its question alone, of a settled one both messages.
    expect(contents.messages).toBe(contents.calls + responses.length)
    for (const { request_id } of responses) {
      const { request, response } = await reproduced(stele, request_id)
      const [question] = (JSON.parse(request) as { messages: { content: string }[] }).messages
      expect(JSON.parse(response ?? '')).toMatchObject({ id: question?.content })
    }
  })
})

test('what is restored is the store of that moment, and conversations go on in it', async () => {
  const place = await sqlitePlace()
  const path = join(await temporaryFolder(), 'backup.db')
  const stele = await place.stele()
  const calls = await recordOddities(stele)
  const { call } = await exchange(stele, [user('of long ago')], 'yes?')
  await stele.backup(path)
  await exchange(stele, [user('after the backup')], 'lost')
  await stele.close()
  const contents = await restored(path, pathOf(place), true)
  expect(contents).toMatchObject({ calls: calls.length + 1, isCurrent: true })
  expect(await readdir(dirname(pathOf(place)))).toEqual([basename(pathOf(place))])
  await at(pathOf(place), place, async again => {
    expect(await rowsOf(again, 'llm_requests')).toHaveLength(calls.length + 1)
    for (const { callId, userId, request, response } of calls) {
      expect((await again.calls.exactRequest(userId, callId)).equals(Buffer.from(request))).toBe(true)
      expect(await again.calls.exactResponse(userId, callId)).toEqual(response)
    }
    const next = await exchange(again, [user('of long ago'), assistant('yes?'), user('still there?')], 'yes')
    expect(next.call.conversationId).toBe(call.conversationId)
  })
})

test('a file that is there already is kept, and so is what stands in the way of nothing', async () => {
  const { place, path } = await backedUp()
  const before = await readFile(path)
  const database = place.database()
  await failure('would_overwrite', backUp(database, path))
  expect((await readFile(path)).equals(before)).toBe(true)
  await failure('file_not_writable', backUp(database, pathOf(place), { overwrite: true }))
  await backUp(database, path, { overwrite: true })
  expect(await inspectBackup(path)).toMatchObject({ calls: 1, messages: 2, conversations: 1 })
  expect(await readdir(dirname(path))).toEqual(['backup.db', 'backup.db.keys'])
})

test('a backup is not put in the place of a database that is open', async () => {
  const { place } = await backedUp()
  const other = await sqlitePlace()
  await other.stele()
  await failure('database_in_use', backUp(place.database(), pathOf(other), { overwrite: true }))
  expect(await readdir(dirname(pathOf(other)))).not.toContainEqual(expect.stringContaining('partial'))
})

test('where nothing can be written, nothing is left', async () => {
  const { place } = await backedUp()
  const folder = await temporaryFolder()
  await writeFile(join(folder, 'file'), 'in the way')
  const error = await failure(
    'file_not_writable',
    backUp(place.database(), join(folder, 'file', 'backup.db')),
  )
  expect(error.message).not.toContain('partial')
  expect(await readdir(folder)).toEqual(['file'])
})

test.skipIf(process.getuid?.() === 0 || process.platform === 'win32')(
  'a folder that may not be written is told',
  async () => {
    const { place } = await backedUp()
    const folder = await temporaryFolder()
    await chmod(folder, 0o500)
    await failure('file_not_writable', backUp(place.database(), join(folder, 'backup.db')))
  },
)

test.skipIf(process.platform !== 'linux')('a disk without room is told', async () => {
  const { place } = await backedUp()
  const { file } = place.database()
  // A device that takes nothing: whatever is written to it fails for lack of space.
  const error = await failure('file_not_writable', (async () => file?.copyTo('/dev/full'))())
  expect(error.message).toContain('/dev/full')
  expect((await readdir('/dev')).filter(name => name.startsWith('full'))).toEqual(['full'])
})

test('other databases say how they are backed up', async () => {
  const postgres = await postgresPlace()
  const error = await failure('backup_elsewhere', (await postgres.stele()).backup('backup.db'))
  expect(error.message).toContain('pg_dump --format=custom')
  await failure('backup_elsewhere', (await (await memoryPlace()).stele()).backup('backup.db'))
})

test('a database that holds data is replaced only when asked, an empty one at once', async () => {
  const { place, path, callId } = await backedUp()
  const other = await sqlitePlace()
  const stele = await other.stele()
  await stele.users.create('somebody')
  await stele.close()
  const to = pathOf(other)
  const error = await failure('database_not_empty', restored(path, to))
  expect(error.message).toContain('--force')
  await at(to, other, async kept => expect(await rowsOf(kept, 'users')).toHaveLength(1))
  await restored(path, to, true)
  await at(to, place, async ({ calls }) => expect(await calls.find(callId)).toBeDefined())

  const empty = await sqlitePlace()
  const bare = await empty.migrated()
  await bare.close()
  await restored(path, pathOf(empty))
  await at(pathOf(empty), place, async ({ calls }) => expect(await calls.find(callId)).toBeDefined())
})

test('a file of something else is kept unless asked', async () => {
  const { path } = await backedUp()
  const folder = await temporaryFolder()
  const foreign = join(folder, 'notes.db')
  const notes = new DatabaseSync(foreign)
  notes.exec('CREATE TABLE notes (text TEXT)')
  notes.close()
  const text = join(folder, 'letter.txt')
  await writeFile(text, 'dear reader, '.repeat(1_000))
  for (const to of [foreign, text]) {
    const before = await readFile(to)
    await failure('database_not_empty', restored(path, to))
    expect((await readFile(to)).equals(before)).toBe(true)
    await restored(path, to, true)
    expect(await inspectBackup(to)).toMatchObject({ calls: 1 })
  }
})

test('a database that another process has open is kept, asked or not; afterwards it may go', async () => {
  const { place, path, callId } = await backedUp()
  const other = await sqlitePlace()
  const child = startChild('begin-calls.ts', other, { begin: 2, settle: 0 })
  await child.next()
  const error = await failure('database_in_use', restored(path, pathOf(other), true))
  expect(error.message).toContain(pathOf(other))
  const folder = await readdir(dirname(pathOf(other)))
  expect(folder).not.toContainEqual(expect.stringContaining('partial'))
  child.tell('still there?')
  await child.kill()
  // What the killed process left in its log must not be applied to the restored file.
  expect((await stat(`${pathOf(other)}-wal`)).size).toBeGreaterThan(0)
  await restored(path, pathOf(other), true)
  expect(await readdir(dirname(pathOf(other)))).toEqual([basename(pathOf(other))])
  await at(pathOf(other), place, async stele => {
    expect(await rowsOf(stele, 'llm_requests')).toHaveLength(1)
    expect(await reproduced(stele, callId)).toEqual({
      request: chatBody([user('keep this')]),
      response: completionBody('kept'),
    })
  })
})

test('a log left where no database is does not end up in the restored one', async () => {
  const { place, path } = await backedUp()
  const other = await sqlitePlace()
  const child = startChild('begin-calls.ts', other, { begin: 1, settle: 1 })
  await child.next()
  await child.kill()
  const log = await readFile(`${pathOf(other)}-wal`)
  const folder = join(await temporaryFolder(), 'fresh')
  await mkdir(folder)
  await writeFile(join(folder, 'stele.db-wal'), log)
  await failure('database_not_empty', restored(path, join(folder, 'stele.db')))
  await restored(path, join(folder, 'stele.db'), true)
  expect(await readdir(folder)).toEqual(['stele.db'])
  await at(join(folder, 'stele.db'), place, async stele =>
    expect(await rowsOf(stele, 'users')).toHaveLength(1),
  )
})

test.each<[string, (path: string) => Promise<unknown>, string]>([
  ['that is not there', async () => undefined, 'there is no such file'],
  ['that is empty', path => truncate(path, 0), 'it is no database of Stele'],
  ['that is cut short', async path => truncate(path, (await stat(path)).size - 4_096), ''],
  ['with bytes that were changed', path => overwrite(path, 4_096 * 3, randomBytes(4_096 * 4)), ''],
  ['that is of another kind', path => writeFile(path, randomBytes(10_000)), 'file is not a database'],
  ['of another program', path => otherProgram(path), 'it is no database of Stele'],
])('a backup %s is refused, and the target stays as it is', async (name, spoil, reason) => {
  const { place, path } = await backedUp()
  await spoil(path)
  const given = name === 'that is not there' ? `${path}x` : path
  const to = pathOf(place)
  const before = await readFile(to)
  const error = await failure('backup_invalid', restored(given, to, true))
  expect(error.message).toContain(given)
  expect(error.message).toContain(reason)
  expect((await readFile(to)).equals(before)).toBe(true)
  expect(await readdir(dirname(to))).toEqual([basename(to)])
})

test('a backup of a newer version is refused', async () => {
  const { place, path } = await backedUp()
  const database = new DatabaseSync(path)
  database.exec("INSERT INTO stele_migrations VALUES (9999, '9999-of-tomorrow', 1)")
  database.close()
  await failure('schema_newer', restored(path, pathOf(place), true))
})

test('a database in use is no backup', async () => {
  const { path } = await backedUp()
  const place = await sqlitePlace()
  const stele = await place.stele()
  await exchange(stele, [user('in the log')], 'still')
  const error = await failure('backup_invalid', restored(pathOf(place), path, true))
  expect(error.message).toContain('stele backup')
  await failure('usage', restored(path, path, true))
})

async function overwrite(path: string, from: number, bytes: Buffer): Promise<void> {
  const content = await readFile(path)
  bytes.copy(content, from)
  await writeFile(path, content)
}

async function otherProgram(path: string): Promise<void> {
  await truncate(path, 0)
  const database = new DatabaseSync(path)
  database.exec('CREATE TABLE notes (text TEXT)')
  database.close()
}
