import { createReadStream, createWriteStream, existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type Database, openFile, openUnchanging } from '../db/database.ts'
import { migrationHistory } from '../db/migrate.ts'
import { SteleError } from '../errors.ts'
import { type BackupContents, type BackupOptions, inspectBackup, isSameFile } from './backup.ts'
import { isEmpty } from './empty.ts'
import { keyFileOf } from './key-file.ts'
import { makeFile, notWritable } from './new-file.ts'
import { lacksKeys, restoreKeys } from './restore-keys.ts'

export interface RestoreOptions extends BackupOptions {
  /** The file with the keys; the one beside the backup when left out. */
  readonly keyFile?: string | undefined
}

export interface RestoredContents extends BackupContents {
  /** Users who were erased after the backup was made, and who are to be again. */
  readonly toErase: number
}

/**
 * Puts a backup in the place of a database file, in one step. The copy that takes its place is read from end to end
 * first; a target that holds data is kept unless `overwrite` is set, and one that is open elsewhere is kept in any case.
 * The keys come from the file beside the backup, or another one of the same store.
 * @param path the backup
 * @throws SteleError usage, key_file_invalid, backup_invalid, schema_newer, database_not_empty, database_in_use, file_not_writable
 */
export async function restoreBackup(
  path: string,
  target: Database,
  { overwrite = false, onProgress, keyFile }: RestoreOptions = {},
): Promise<RestoredContents> {
  const { file, location } = target
  if (file === undefined) {
    throw new SteleError('usage', {
      reason: `A backup becomes a database file. To bring it into ${location.display}: stele copy --from sqlite:${path} --to URL`,
    })
  }
  const total = statSync(path, { throwIfNoEntry: false })?.size
  if (total === undefined) throw new SteleError('backup_invalid', { path, reason: 'there is no such file' })
  if (isSameFile(path, file.path))
    throw new SteleError('usage', { reason: `${path} is the database itself.` })
  if (openUnchanging(path).file?.hasPendingChanges()) {
    throw new SteleError('backup_invalid', {
      path,
      reason: 'it belongs to a database in use, changes wait beside it; make a backup with: stele backup',
    })
  }
  if (!overwrite && !(await mayBeReplaced(target))) {
    throw new SteleError('database_not_empty', {
      database: location.display,
      advice: 'To replace it: --force',
    })
  }
  return makeFile(
    file.path,
    { overwrite: true },
    async temporary => {
      await copyBytes(path, temporary, done => onProgress?.(done, total))
      const contents = await inspectBackup(temporary, path)
      return { ...contents, ...(await putKeysBack(path, temporary, keyFile)) }
    },
    temporary => file.replaceWith(temporary),
  )
}

/** Puts the keys into the copy of a backup that has none. @throws SteleError backup_invalid, key_file_invalid */
async function putKeysBack(
  backup: string,
  copy: string,
  given: string | undefined,
): Promise<Pick<RestoredContents, 'keyFile' | 'toErase'>> {
  const beside = keyFileOf(backup)
  const keyFile = given ?? (existsSync(beside) ? beside : undefined)
  const database = openFile(copy)
  try {
    if (!(await database.hasTable(database.kysely, 'data_keys'))) return { toErase: 0 }
    if (keyFile !== undefined) {
      const { toErase } = await restoreKeys(database, keyFile)
      return { keyFile, toErase }
    }
    if (await lacksKeys(database))
      throw new SteleError('backup_invalid', {
        path: backup,
        reason: `the keys to it are not there: ${beside} is missing; name it, or a later one, with --keys`,
      })
    return { toErase: 0 }
  } finally {
    await database.close()
  }
}

/** Nothing at all is there, or tables of Stele without a single row. */
async function mayBeReplaced(target: Database): Promise<boolean> {
  const size = statSync(target.file?.path ?? '', { throwIfNoEntry: false })?.size ?? 0
  if (size === 0) return !target.file?.hasPendingChanges()
  try {
    return await target.snapshot(async db => {
      const history = await migrationHistory(target, db)
      return history.some(({ appliedAt }) => appliedAt !== undefined) && (await isEmpty(target, db))
    })
  } catch {
    // What cannot be read may still be of worth to somebody.
    return false
  }
}

async function copyBytes(from: string, to: string, onProgress: (done: number) => void): Promise<void> {
  let done = 0
  const count = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      done += chunk.byteLength
      onProgress(done)
      yield chunk
    }
  }
  try {
    mkdirSync(dirname(to), { recursive: true, mode: 0o700 })
    // `flush` waits until it is on the disk: only then may it take the place of what is there.
    const target = createWriteStream(to, { flags: 'wx', mode: 0o600, flush: true })
    await pipeline(createReadStream(from, { highWaterMark: 1 << 20 }), count, target)
  } catch (error) {
    throw notWritable(to, error)
  }
}
