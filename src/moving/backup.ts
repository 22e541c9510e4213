import { existsSync, realpathSync, rmSync, statSync } from 'node:fs'
import { type Database, openUnchanging } from '../db/database.ts'
import { migrationHistory } from '../db/migrate.ts'
import { reasonOf, SteleError } from '../errors.ts'
import { keyFileOf, writeKeyFile } from './key-file.ts'
import { makeFile } from './new-file.ts'
import { countRows } from './pages.ts'

/** What a backup holds. */
export interface BackupContents {
  readonly path: string
  /** The file beside it that has the keys of users' content; undefined where there are none yet. */
  readonly keyFile?: string | undefined
  readonly bytes: number
  readonly calls: number
  readonly messages: number
  readonly conversations: number
  /** False when its schema is an older one, as before a migration. */
  readonly isCurrent: boolean
}

export interface BackupOptions {
  /** Replace a file that is there already. */
  readonly overwrite?: boolean | undefined
  /** Told how far it is, in steps of some megabytes. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/**
 * Writes the state of this moment into one file, while others go on writing. The file is checked before it gets its name:
 * what stands at `path` afterwards is whole. The keys of users' content are not in it but in a file beside it, from which they
 * can be struck; the master key is in neither.
 * @throws SteleError backup_elsewhere, would_overwrite, file_not_writable, backup_invalid, schema_newer
 */
export async function backUp(
  database: Database,
  path: string,
  { overwrite = false, onProgress }: BackupOptions = {},
): Promise<BackupContents> {
  const { file } = database
  if (file === undefined) throw new SteleError('backup_elsewhere', { advice: database.backupAdvice })
  if (isSameFile(path, file.path))
    throw new SteleError('file_not_writable', { path, reason: 'it is the database itself' })
  const keyFile = keyFileOf(path)
  const hadKeys = existsSync(keyFile)
  if (hadKeys && !overwrite)
    throw new SteleError('would_overwrite', { path: existsSync(path) ? path : keyFile })
  try {
    return await makeFile(
      path,
      { overwrite },
      async temporary => {
        await file.copyTo(temporary, onProgress)
        const contents = await inspectBackup(temporary, path)
        const isApart = await takeKeysOut(temporary, keyFile, overwrite)
        const { size } = statSync(temporary)
        return { ...contents, bytes: size, ...(isApart ? { keyFile } : {}) }
      },
      temporary => openUnchanging(path).file?.replaceWith(temporary),
    )
  } catch (error) {
    if (!hadKeys && existsSync(keyFile)) rmSync(keyFile)
    throw error
  }
}

/** Moves the keys from a copy into a file of their own. False when its schema has none. */
async function takeKeysOut(copy: string, keyFile: string, overwrite: boolean): Promise<boolean> {
  const database = openUnchanging(copy)
  try {
    if (!(await database.hasTable(database.kysely, 'data_keys'))) return false
    await writeKeyFile(database.kysely, keyFile, { overwrite })
  } finally {
    await database.close()
  }
  openUnchanging(copy).file?.removeKeys()
  return true
}

/**
 * Reads a backup from end to end.
 * @throws SteleError backup_invalid, schema_newer
 */
export async function inspectBackup(path: string, name = path): Promise<BackupContents> {
  const invalid = (reason: string, cause?: unknown): SteleError =>
    new SteleError('backup_invalid', { path: name, reason }, { cause })
  const bytes = statSync(path, { throwIfNoEntry: false })?.size
  if (bytes === undefined) throw invalid('there is no such file')
  const database = openUnchanging(path)
  try {
    const damage = database.file?.damage()
    if (damage !== undefined) throw invalid(damage)
    const history = await migrationHistory(database)
    if (history.every(({ appliedAt }) => appliedAt === undefined)) throw invalid('it is no database of Stele')
    return {
      path: name,
      bytes,
      calls: await countRows(database.kysely, 'llm_requests'),
      messages: await countRows(database.kysely, 'messages'),
      conversations: await countRows(database.kysely, 'conversations'),
      isCurrent: history.every(({ appliedAt }) => appliedAt !== undefined),
    }
  } catch (error) {
    if (error instanceof SteleError) throw error
    throw invalid(reasonOf(error), error)
  } finally {
    await database.close()
  }
}

export function isSameFile(a: string, b: string): boolean {
  try {
    return realpathSync(a) === realpathSync(b)
  } catch {
    // One that is not there yet is no other.
    return false
  }
}
