import { writeKeyFile } from '../../moving/key-file.ts'
import { restoreKeys } from '../../moving/restore-keys.ts'
import { type GlobalOptions, requireExisting, withDatabase } from '../open-store.ts'
import { noteStoredActing } from '../operator.ts'
import { say, writeLine } from '../output.ts'

export interface BackUpKeysOptions extends GlobalOptions {
  readonly force?: boolean
}

/** Writes the keys of users' content, wrapped as they are, into a file; prints its path. */
export async function backUpKeys(path: string, options: BackUpKeysOptions): Promise<void> {
  await withDatabase(options, async database => {
    requireExisting(database)
    await noteStoredActing(database, 'data_keys.backed_up', options)
    const keys = await database.snapshot(db => writeKeyFile(db, path, { overwrite: options.force === true }))
    say(
      `Wrote ${keys} keys. They are of no use without the master key. To strike a user: stele erase USER --keys`,
    )
    return writeLine(path)
  })
}

/** Puts keys of a key file into the database that they were of. */
export async function restoreKeysOf(path: string, options: GlobalOptions): Promise<void> {
  await withDatabase(options, async database => {
    requireExisting(database)
    await noteStoredActing(database, 'data_keys.restored', options)
    const { keys, toErase } = await restoreKeys(database, path)
    say(`Restored ${keys} keys.`)
    sayToErase(toErase)
  })
}

/** Tells of users who were erased after a backup was made. */
export function sayToErase(users: number): void {
  if (users > 0)
    say(
      `${users} users were erased since: stele erase --unfinished, or the next stele serve, erases them here too.`,
    )
}
