import { existsSync, readFileSync, statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { user } from '../harness/chat.ts'
import { sqlitePlace } from '../harness/databases.ts'

const locks = '/proc/locks'

/**
 * Older versions of SQLite in other programs take a file that nobody has locked for one that nobody uses, and remove its
 * write-ahead log, with the commits that are in it, when they close it.
 */
test.skipIf(!existsSync(locks))(
  'a store keeps its lock on the file, whatever of it is opened or looked at beside',
  async () => {
    const place = await sqlitePlace()
    const stele = await place.stele()
    await stele.saveInteraction({ userId: 'ada', model: 'm', messages: [user('q')], responseText: 'a' })
    const inode = statSync(place.databaseUrl.replace('sqlite:', '')).ino
    const isLocked = (): boolean =>
      readFileSync(locks, 'utf8')
        .split('\n')
        .some(line => line.includes(`:${inode} `))
    expect(isLocked()).toBe(true)
    const second = await place.stele()
    await second.users.list()
    expect(isLocked()).toBe(true)
    await second.close()
    expect(isLocked()).toBe(true)
    await stele.close()
    expect(isLocked()).toBe(false)
  },
)
