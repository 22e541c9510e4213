import { copyFile, stat, truncate } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { openDatabase } from '../../src/db/database.ts'
import { checkKeyFile, strikeFromKeyFile, writeKeyFile } from '../../src/moving/key-file.ts'
import { restoreBackup } from '../../src/moving/restore.ts'
import { restoreKeys } from '../../src/moving/restore-keys.ts'
import { openStele } from '../../src/stele.ts'
import { filesIn, holding, keyBytesOf } from '../harness/bytes.ts'
import { exchange, user } from '../harness/chat.ts'
import { type Place, sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { factOf, liveEverywhere, secretOf } from '../harness/lives.ts'
import { rowsOf } from '../harness/rows.ts'

const pathOf = ({ databaseUrl }: Place): string => databaseUrl.replace('sqlite:', '')

async function restored(backup: string, keyFile?: string): Promise<{ path: string; toErase: number }> {
  const path = join(await temporaryFolder(), 'restored.db')
  const target = openDatabase(`sqlite:${path}`)
  try {
    const { toErase } = await restoreBackup(backup, target, { keyFile })
    return { path, toErase }
  } finally {
    await target.close()
  }
}

async function at<R>(
  path: string,
  { masterKey }: Place,
  work: (stele: Awaited<ReturnType<typeof openStele>>) => Promise<R>,
) {
  const stele = await openStele({ databaseUrl: `sqlite:${path}`, masterKey })
  try {
    return await work(stele)
  } finally {
    await stele.close()
  }
}

/** A store with many users, two of whom have left everything that one can. */
async function crowded(): Promise<{
  place: Place
  stele: Awaited<ReturnType<Place['stele']>>
  adaCall: string
  bobCall: string
}> {
  const place = await sqlitePlace()
  const stele = await place.stele()
  // Keys that lie around theirs, before and after, so that pages split and are written anew.
  const others = async (from: number) => {
    for (let at = from; at < from + 60; at += 20)
      await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          exchange(stele, [user('hello')], 'hi', { userId: `a${((at + i) * 7919) % 1000}` }),
        ),
      )
  }
  await others(0)
  const ada = await liveEverywhere(stele, 'ada')
  const bob = await liveEverywhere(stele, 'bob')
  await others(60)
  return { place, stele, adaCall: ada.callId, bobCall: bob.callId }
}

test('no byte of an erased user’s words, names or keys is left in any file, nor of the keys in a backup from before', async () => {
  const { place, stele, adaCall, bobCall } = await crowded()
  const folder = await temporaryFolder()
  const backup = join(folder, 'backup.db')
  const { keyFile = '' } = await stele.backup(backup)
  expect(keyFile).toBe(`${backup}.keys`)
  if (process.platform !== 'win32') expect((await stat(keyFile)).mode & 0o777).toBe(0o600)
  const keys = { ada: await keyBytesOf(stele, place, 'ada'), bob: await keyBytesOf(stele, place, 'bob') }
  expect(keys.ada.length).toBeGreaterThan(0)
  const everywhere = [dirname(pathOf(place)), place.spoolFolder, folder]
  const before = await filesIn(everywhere)
  // What is looked for is there to be found.
  expect(holding(before, keys.ada)).toContain(keyFile)
  expect(holding(before, keys.ada)).not.toContain(backup)
  expect(holding(before, [factOf('ada')]).length).toBeGreaterThan(0)

  const report = await stele.erase('ada', { keyFiles: [keyFile] })
  expect(report).toMatchObject({
    remains: [],
    isScrubbed: true,
    unusedBytes: 0,
    keyFiles: [{ path: keyFile, keys: 1 }],
  })
  const after = await filesIn(everywhere)
  expect(holding(after, [secretOf('ada'), ...keys.ada])).toEqual([])
  expect(holding(await filesIn(everywhere.slice(0, 2)), [factOf('ada')])).toEqual([])
  expect(holding(after, keys.bob).length).toBe(2)
  expect((await stele.calls.exactRequest('bob', bobCall)).toString()).toContain(secretOf('bob'))
  await stele.close()
  expect(holding(await filesIn(everywhere), [secretOf('ada'), ...keys.ada])).toEqual([])

  const { path, toErase } = await restored(backup)
  expect(toErase).toBe(1)
  await at(path, place, async old => {
    await failure('content_erased', old.calls.exactRequest('ada', adaCall))
    expect((await old.calls.exactRequest('bob', bobCall)).toString()).toContain(secretOf('bob'))
    expect(await old.unfinishedErasures()).toEqual(['ada'])
    expect(await old.erase('ada')).toMatchObject({ remains: [], erasedAt: report.erasedAt })
  })
  expect(holding(await filesIn([dirname(path)]), [factOf('ada'), secretOf('ada'), ...keys.ada])).toEqual([])
})

test('a backup cannot be read without its keys; later ones open it, those of another store are refused', async () => {
  const { place, stele, adaCall, bobCall } = await crowded()
  const folder = await temporaryFolder()
  const [backup, later] = [join(folder, 'old.db'), join(folder, 'later.keys')]
  await stele.backup(backup)
  await exchange(stele, [user('new')], 'n', { userId: 'zoe' })
  await stele.erase('ada')
  await writeKeyFile(stele.database.kysely, later)
  await stele.close()

  const bare = join(await temporaryFolder(), 'copy.db')
  await copyFile(backup, bare)
  const missing = await failure('backup_invalid', restored(bare))
  expect(missing.message).toContain(`${bare}.keys`)
  await at(bare, place, async old => {
    await failure('content_unreadable', old.calls.exactRequest('bob', bobCall))
    await exchange(old, [user('with a key of its own')], 'k', { userId: 'bob' })
    await restoreKeys(old.database, later)
    expect((await old.calls.exactRequest('bob', bobCall)).toString()).toContain(secretOf('bob'))
    await exchange(old, [user('one key is the current one')], 'k', { userId: 'bob' })
  })
  const { path, toErase } = await restored(backup, later)
  expect(toErase).toBe(1)
  await at(path, place, async old => {
    expect((await old.calls.exactRequest('bob', bobCall)).toString()).toContain(secretOf('bob'))
    await failure('content_erased', old.calls.exactRequest('ada', adaCall))
  })

  const other = await sqlitePlace()
  const stranger = await other.stele()
  await exchange(stranger, [user('elsewhere')], 'e')
  const foreign = join(folder, 'foreign.keys')
  await writeKeyFile(stranger.database.kysely, foreign)
  await failure('key_file_invalid', restored(backup, foreign))
})

test('a user who was erased when the backup was made stays so, whatever an older key file holds', async () => {
  const { place, stele, adaCall } = await crowded()
  const folder = await temporaryFolder()
  const [backup, older] = [join(folder, 'new.db'), join(folder, 'older.keys')]
  await writeKeyFile(stele.database.kysely, older)
  await stele.erase('ada')
  await stele.backup(backup)
  await stele.close()
  const { path } = await restored(backup, older)
  await at(path, place, async again => {
    const keys = (await rowsOf(again, 'data_keys')).filter(row => row.user_id === 'ada')
    expect(keys.map(row => row.wrapped_key)).toEqual([null])
    await failure('content_not_kept', again.calls.exactRequest('ada', adaCall))
  })
})

test.each<[string, (path: string) => Promise<unknown>]>([
  ['cut short', async path => truncate(path, (await stat(path)).size - 100)],
  ['of something else', path => import('node:fs/promises').then(fs => fs.writeFile(path, '{"a":1}\n'))],
  ['empty', path => truncate(path, 0)],
  [
    'with a key put in',
    async path => {
      const { readFile, writeFile } = await import('node:fs/promises')
      await writeFile(path, (await readFile(path, 'utf8')).replace('"retired_at":null', '"retired_at":1'))
    },
  ],
])('a key file that is %s is refused before anything is erased', async (_what, spoil) => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const { call } = await exchange(stele, [user('kept')], 'k', { userId: 'ada' })
  const path = join(await temporaryFolder(), 'some.keys')
  await writeKeyFile(stele.database.kysely, path)
  await checkKeyFile(path)
  await spoil(path)
  await failure('key_file_invalid', stele.erase('ada', { keyFiles: [path] }))
  expect((await stele.calls.exactRequest('ada', call.callId)).toString()).toContain('kept')
})

test('striking a user twice, or one who is not in it, leaves a whole file', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  await exchange(stele, [user('a')], 'k', { userId: 'ada' })
  await exchange(stele, [user('b')], 'k', { userId: 'bob' })
  const path = join(await temporaryFolder(), 'some.keys')
  expect(await writeKeyFile(stele.database.kysely, path)).toBe(2)
  const header = await checkKeyFile(path)
  expect(await strikeFromKeyFile(path, 'ada', 5)).toBe(1)
  expect(await strikeFromKeyFile(path, 'ada', 6)).toBe(0)
  expect(await strikeFromKeyFile(path, 'nobody', 6)).toBe(0)
  expect(await checkKeyFile(path)).toEqual(header)
})
