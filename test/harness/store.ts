import { randomBytes } from 'node:crypto'
import type { Database } from '../../src/db/database.ts'
import { LoadedMasterKeys } from '../../src/privacy/master-keys.ts'
import { Contents, type Store } from '../../src/store/contents.ts'
import { openSecret } from '../../src/store/secrets.ts'

/** A migrated database with a master key of its own, for tests that put the parts of a store together. */
export async function storeOf(database: Database): Promise<Store> {
  const masters = new LoadedMasterKeys({ from: { kind: 'random' }, previous: [] })
  await openSecret(database, 'conversation-hashes', () => masters.current)
  return {
    ...database,
    contents: new Contents({ masters, mode: 'encrypted', acceptsOld: false, eventSecret: randomBytes(32) }),
  }
}
